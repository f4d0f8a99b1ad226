"""kvbackends inside other frameworks."""
