"""A server with a worker, and the deployments of all projects on it."""
