"""The application: servers, clients and how their parts are put together."""
