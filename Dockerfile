# Caddy with the cors directive in it, from this checkout:
#
#	docker build --tag caddy-cors .
#
# or with a released version of the module:
#
#	docker build --tag caddy-cors --build-arg CORS=github.com/caddy-cors/caddy-cors@<version> .
#
# The image is used as Caddy's official one, which it is but for the binary: the Caddyfile is /etc/caddy/Caddyfile.

# The version in go.mod. A newer one can be given: xcaddy builds that of its image.
ARG CADDY_VERSION=2.11.9

FROM caddy:${CADDY_VERSION}-builder AS builder
ARG CORS=github.com/caddy-cors/caddy-cors=/src
COPY . /src
# Further modules have a --with of their own.
RUN xcaddy build --output /usr/bin/caddy --with "${CORS}"

FROM caddy:${CADDY_VERSION}
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
