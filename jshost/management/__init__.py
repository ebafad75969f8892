"""What Django's ``manage.py`` finds here. Runs in: command line."""
