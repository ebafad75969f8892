"""Workers and the calls that they run, whoever owns them. Runs in: host, embedding programs."""
