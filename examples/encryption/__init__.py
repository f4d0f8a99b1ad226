"""A plugin that encrypts every result before it reaches the store.

A layer is a store around another store; `layer.Encrypted` only has to define `encode` and `decode`.
`plugin` returns the layer to kvbackends.  An application registers the plugin before Celery opens
its backend, as `app` does::

    import kvbackends
    from examples.encryption import plugin

    kvbackends.register(plugin)

A plugin in its own distribution needs no such line, but this in its pyproject.toml::

    [project.entry-points."kvbackends.layers"]
    encryption = "my_company_encryption.plugin"

Every process that reads or writes results needs the keys, in the environment::

    export RESULT_KEYS=$(python -m examples.encryption)
    celery -A examples.encryption.app worker

``RESULT_KEYS`` has one or more keys, separated by commas.  The first encrypts, all decrypt.  To
change the key, put a new one in front, and remove the old one when its results have expired.
Without a key no store is opened, so that nothing is stored in plain text.

All values are encrypted: results, tracebacks, arguments in extended results, the data of chords.
Not encrypted are keys, which contain task ids, and on stores that can find results by them the
state, the names of task and worker, and the time.
"""
