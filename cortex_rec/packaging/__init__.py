"""From a release to an image and a registry: plain functions over pip, bentoml, buildah or podman, skopeo and ECR."""
