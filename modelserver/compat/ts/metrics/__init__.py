"""What handlers count."""
