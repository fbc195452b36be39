"""What pytest leaves out when it runs the documentation's examples: settings and built pages."""

collect_ignore = ["conf.py", "_ext", "_build", "auto_examples", "api/generated"]
