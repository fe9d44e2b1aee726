"""The images: their files performed without a container engine, and what is asked of what they make."""
