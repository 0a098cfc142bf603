# The Airbyte destination. At the root of the checkout:
#   docker build -f bridges/airbyte/destination.Dockerfile -t destination-voucherify .
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
COPY bridges/airbyte/requirements-image.txt /src/
RUN python3 -m venv /opt/voucherify \
    && /opt/voucherify/bin/pip install --no-cache-dir --require-hashes -r /src/requirements-image.txt
COPY voucherify-client /src/voucherify-client
COPY tap-voucherify /src/tap-voucherify
COPY target-voucherify /src/target-voucherify
COPY bridges/airbyte /src/bridges/airbyte
RUN /opt/voucherify/bin/pip install --no-cache-dir --no-deps --no-build-isolation \
    /src/tap-voucherify /src/target-voucherify /src/bridges/airbyte

FROM ${BASE}
COPY --from=build /opt/voucherify /opt/voucherify
RUN useradd --uid 1000 --create-home airbyte
USER airbyte
WORKDIR /home/airbyte
# What is not on a volume is gone after the sync.
ENV VOUCHERIFY_IN_IMAGE=1 PYTHONUNBUFFERED=1 AIRBYTE_ENTRYPOINT=/opt/voucherify/bin/destination-voucherify
LABEL io.airbyte.name=airbyte/destination-voucherify io.airbyte.version=0.1.0
ENTRYPOINT ["/opt/voucherify/bin/destination-voucherify"]
