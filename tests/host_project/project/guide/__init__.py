"""The examples of the views reference; each module is written from its text before the project runs."""
