"""The Kubernetes world: kind, the image, and what happens in a namespace, through docker, kind and kubectl.

Deploying is Helm's job (roles echo and load); this package makes room for it, waits, and collects what came of it.
"""
