"""The BentoML service: routes, request and response models, wiring."""
