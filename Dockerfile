# One static program and nothing else: no shell, no package manager, no libraries. `make image` builds the program and
# lays out what is copied here, so that no base image has to be pulled.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="ipam-controller" \
      org.opencontainers.image.description="IP address management for bare-metal Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY root/ /
USER 65532:65532
ENTRYPOINT ["/manager"]
