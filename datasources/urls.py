from datasources.views import DataSourceViewSet

routes = [("data-sources", DataSourceViewSet, "data-source")]
