"""Handlers of custom resources: they run in Lambda at deployment, alone, with what Lambda's own runtime brings."""
