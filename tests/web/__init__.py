"""The pages of `kvbackends.web`."""
