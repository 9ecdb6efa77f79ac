"""The messenger unit: takes messages from users and carries outboxes between processes."""
