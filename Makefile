# What the tests need besides Go, as Debian's packages. The browsers: Chromium, Firefox, and WebKitGTK's MiniBrowser,
# which needs a display. The race detector needs a C compiler. npm has axe, which checks the accessibility of pages.
# nginx and Varnish are caches to put before Caddy; Prometheus reads its metrics.
PACKAGES = \
	$(if $(shell command -v chromium),,chromium) \
	$(if $(shell command -v firefox-esr),,firefox-esr) \
	$(if $(wildcard /usr/lib/*/webkit2gtk-4.1/MiniBrowser),,webkit2gtk-driver) \
	$(if $(shell command -v xvfb-run),,xvfb) \
	$(if $(shell command -v xauth),,xauth) \
	$(if $(shell command -v cc),,gcc libc6-dev) \
	$(if $(shell command -v npm),,npm) \
	$(if $(wildcard /usr/sbin/nginx),,nginx-light) \
	$(if $(wildcard /usr/sbin/varnishd),,varnish) \
	$(if $(shell command -v promtool),,prometheus)

SUDO = $(if $(filter 0,$(shell id -u)),,sudo)

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
ACTIONLINT = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

BENCHSTAT = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
UNITS = .unit:(ns/op OR B/op OR allocs/op OR added-ns/op OR added-B/op OR added-allocs/op)

# The modules of their own: what they need is nothing that users of this module should depend on.
MODULES = bench docs/dockerproxy

# How long each fuzz target runs.
FUZZTIME = 10m

.PHONY: run test tests packages lint fuzz vulnerabilities bench regressions notes release

# Starts the example: http://localhost:8080
run:
	go run ./cmd/caddy run --config Caddyfile.example

# Runs the linters, and every test, in real browsers too.
test: lint tests

tests: packages
	CADDY_CORS_BROWSERS=required go test -race -count=1 -timeout=40m ./...
	@set -e; for module in $(MODULES); do (cd $$module && go test -count=1 ./...); done

packages:
ifneq ($(strip $(PACKAGES)),)
	$(SUDO) apt-get update
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(PACKAGES)
endif
	npm ci --prefix e2e/axe --ignore-scripts --no-audit --no-fund

lint:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go run $(STATICCHECK) ./...
	@set -e; for module in $(MODULES); do (cd $$module && go mod tidy -diff && go vet ./... && go run $(STATICCHECK) ./...); done
	go run $(ACTIONLINT)

# Runs every fuzz target, one after the other, up to the first finding. Little time goes into making inputs shorter: what
# they find is short enough.
fuzz:
	@set -e; for package in $$(go list ./...); do \
		listed=$$(go test -list '^Fuzz' $$package); \
		for target in $$(echo "$$listed" | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$package; \
		done; \
	done

# Whether a known vulnerability is in what the code calls. It asks the Go vulnerability database.
vulnerabilities:
	go run $(GOVULNCHECK) ./...

# What the changelog says of a version: make notes VERSION=v0.1.0
notes:
	@awk -v version='$(VERSION:v%=%)' '/^## / { on = $$2 == version; next } on { print; found = 1 } \
		END { if (!found) { print "CHANGELOG.md has no section " version > "/dev/stderr"; exit 1 } }' CHANGELOG.md

# What a release publishes, in dist: the source, what goes into a binary, the checksums of both, and what is said of it.
release:
	mkdir dist
	$(MAKE) --no-print-directory notes > dist/NOTES.md
	git archive --prefix=caddy-cors-$(VERSION)/ --output=dist/caddy-cors-$(VERSION).tar.gz HEAD
	go run $(CYCLONEDX) app -json -licenses -main cmd/caddy -output dist/caddy-cors-$(VERSION).cdx.json
	cd dist && sha256sum caddy-cors-* > SHA256SUMS

# What a request costs, and what it costs beside what people use instead. The results stay in bench/*.txt, to compare with
# later ones. It takes half an hour, and an idle machine.
bench:
	$(if $(shell command -v wrk),,$(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends wrk)
	go test -run '^$$' -bench . -benchtime=0.3s -count=6 -timeout=2h . ./internal/origin ./origins > bench/module.txt
	cd bench && go run $(BENCHSTAT) module.txt
	cd bench && go test -run '^$$' -bench . -count=6 -timeout=2h . > compared.txt
	cd bench && go run $(BENCHSTAT) -filter '.name:Added $(UNITS)' -table /policy -row /request -col /candidate compared.txt
	cd bench && go run $(BENCHSTAT) -filter '.name:Plain $(UNITS)' -table /policy,/request -row /candidate compared.txt
	cd bench && go run ./wrk

# Which ratios to what people use instead have become worse than in a file of before, which make bench has left:
# make regressions BEFORE=bench/before.txt
BEFORE = bench/before.txt
AFTER = bench/compared.txt
regressions:
	cd bench && go run ./regressions $(abspath $(BEFORE)) $(abspath $(AFTER))
