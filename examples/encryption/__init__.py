"""A plugin that encrypts every result before it reaches the store.

A layer is a store around another store; `layer.Encrypted` is one, and all that it has to write is
`encode` and `decode`.  `plugin` is what kvbackends asks for layers.  An application registers it
before Celery opens its backend (`app` does)::

    import kvbackends
    from examples.encryption import plugin

    kvbackends.register(plugin)

A plugin in a distribution of its own needs no such line, only this in its pyproject.toml::

    [project.entry-points."kvbackends.layers"]
    encryption = "my_company_encryption.plugin"

Every process that reads or writes results needs the keys, in the environment::

    export RESULT_KEYS=$(python -m examples.encryption)
    celery -A examples.encryption.app worker

``RESULT_KEYS`` holds one or more keys, separated by commas.  The first encrypts, all decrypt: to
change the key put a new one in front, and take the old one away when its results have expired.
Without a key nothing is opened, so that nothing is stored in plain text.

What is hidden: values, that is results, tracebacks, arguments in extended results, and what a
chord keeps.  What is not: keys, which contain task ids; and, on stores that can find results by
them, the state, the task's and the worker's name and the time.
"""
