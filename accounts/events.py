COMPANY_CREATED = "company.created"
USER_REGISTERED = "user.registered"
API_KEY_CREATED = "api_key.created"
API_KEY_DELETED = "api_key.deleted"
