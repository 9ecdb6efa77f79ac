"""The herder process: sells inference by the job, and owes every payer an end."""
