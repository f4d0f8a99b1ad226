"""Notifications for waiters, on channels named after keys."""
