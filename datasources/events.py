DATA_SOURCE_CREATED = "data_source.created"
DATA_SOURCE_UPDATED = "data_source.updated"
DATA_SOURCE_DELETED = "data_source.deleted"
