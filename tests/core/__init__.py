"""URLs, options, plugins, layers, processes and errors."""
