# The laptop's side, for a machine with an NVIDIA card and its container toolkit:
#   docker build -f deploy/accelerator.Dockerfile -t babblefish-accelerator .
FROM debian:12-slim

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 \
    BABBLEFISH_LAPTOP_DATA_DIR=/data BABBLEFISH_LAPTOP_WEIGHTS_DIR=/weights

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin babblefish \
    && install -d -o babblefish -g babblefish -m 700 /data /weights

WORKDIR /opt/babblefish
COPY requirements-accelerator.txt requirements-f5.txt ./
COPY tools tools
RUN python3.11 tools/prepare.py --accelerator
COPY accelerator_app.py ./
COPY babblefish babblefish
RUN .venv-accelerator/bin/python -m compileall -q accelerator_app.py babblefish

USER 10001
VOLUME ["/data", "/weights"]
EXPOSE 9010/tcp
STOPSIGNAL SIGINT
ENTRYPOINT [".venv-accelerator/bin/python", "accelerator_app.py"]
