"""The container's two doors: SageMaker's HTTP contract and the Lambda handlers. Only this package touches AWS."""
