"""What chains tasks: flows, the stages of dvc.yaml, and the command line."""
