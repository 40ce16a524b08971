# Caddy with the cors directive in it, from this checkout:
#
#	docker build --tag caddy-cors .
#
# or with a released version of the module:
#
#	docker build --tag caddy-cors --build-arg CORS=github.com/caddy-cors/caddy-cors@<version> .
#
# The image is used as Caddy's official one: the Caddyfile is /etc/caddy/Caddyfile, certificates are in /data. It differs
# in the binary, and in that it does not run as root.

# The version in go.mod. A newer one can be given: xcaddy builds that of its image.
ARG CADDY_VERSION=2.11.9

FROM caddy:${CADDY_VERSION}-builder AS builder
ARG CORS=github.com/caddy-cors/caddy-cors=/src
# A binary with a capability of its own does not start where a container has dropped it. Without, ports below 1024 are
# open to every user of a container in Docker, and where Kubernetes sets net.ipv4.ip_unprivileged_port_start.
ENV XCADDY_SETCAP=0
COPY . /src
# Further modules have a --with of their own.
RUN xcaddy build --output /usr/bin/caddy --with "${CORS}"

FROM caddy:${CADDY_VERSION}
# OpenShift has containers run as a user of its own choice, but in the group 0, so that may write, too.
RUN chown -R 1001:0 /config /data && chmod -R g=u /config /data
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
USER 1001:0
