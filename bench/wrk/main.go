// Command wrk measures what a whole server can do: Caddy as a process of its own, under the load of wrk, with each
// candidate in turn. It prints how many requests the server answers in a second of its processor time, and in a second
// of the clock, and how much of that a candidate loses against the same server without CORS.
//
//	go run ./wrk
//
// It needs Linux and wrk.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/caddy-cors/caddy-cors/bench/sites"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 7, "how often each candidate is measured")
	duration := flag.Duration("duration", 3*time.Second, "how long, each time, in whole seconds")
	names := flag.String("candidates", "none,header-one,cors-one,snippet-one,header-ten,cors-ten,snippet-ten",
		"the form and the policy of each, with commas between them; all are compared with the first")
	flag.Parse()
	all := map[string]sites.Site{sites.None.Name: sites.None}
	for _, policy := range sites.Policies {
		for _, site := range policy.Sites() {
			site.Name += "-" + policy.Name
			all[site.Name] = site
		}
	}
	var candidates []sites.Site
	for name := range strings.SplitSeq(*names, ",") {
		site, ok := all[name]
		if !ok {
			log.Fatalf("%q is none of %q", name, slices.Sorted(maps.Keys(all)))
		}
		candidates = append(candidates, site)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, candidates, *rounds, *duration); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, candidates []sites.Site, rounds int, duration time.Duration) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("wrk is not installed; on Debian: apt-get install wrk")
	}
	dir, err := os.MkdirTemp("", "caddy-cors-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	caddy, err := build(ctx, dir)
	if err != nil {
		return err
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	defer upstream.Close()

	for _, response := range []string{"respond hello", "reverse_proxy " + upstream.Listener.Addr().String()} {
		rates := make([][]rate, len(candidates))
		for round := range rounds {
			fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", response, round+1, rounds)
			for _, i := range rand.Perm(len(candidates)) {
				r, err := measure(ctx, server{caddy, dir, candidates[i].Directives, response}, duration)
				if err != nil {
					return fmt.Errorf("%s: %w", candidates[i].Name, err)
				}
				rates[i] = append(rates[i], r)
			}
		}
		report(os.Stdout, response, candidates, rates)
	}
	return nil
}

// build builds Caddy with the module, and returns the path of the program.
func build(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/caddy-cors/caddy-cors").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	caddy := filepath.Join(dir, "caddy")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", caddy, "./cmd/caddy")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stderr = os.Stderr
	return caddy, cmd.Run()
}

// A rate is a number of requests in a second: of the server's processor time, and of the clock.
type rate struct{ processor, clock float64 }

// report prints the medians. What is lost is the median over the rounds of what is lost in each, against the first
// candidate.
func report(to io.Writer, response string, candidates []sites.Site, rates [][]rate) {
	fmt.Fprintf(to, "%s\n", response)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "candidate\trequests per processor second\tlost\trequests per second\tlost\t\n")
	for i, site := range candidates {
		processor, lostProcessor := median(rates[i], rates[0], func(r rate) float64 { return r.processor })
		clock, lostClock := median(rates[i], rates[0], func(r rate) float64 { return r.clock })
		fmt.Fprintf(w, "%s\t%.0f\t%.1f%%\t%.0f\t%.1f%%\t\n", site.Name, processor, lostProcessor, clock, lostClock)
	}
	_ = w.Flush()
	fmt.Fprintln(to)
}

// median returns the median of a rate, and that of its loss in percent.
func median(of, against []rate, kind func(rate) float64) (value, lost float64) {
	var values, losses []float64
	for round := range of {
		values = append(values, kind(of[round]))
		losses = append(losses, 100*(1-kind(of[round])/kind(against[round])))
	}
	middle := func(sorted []float64) float64 {
		slices.Sort(sorted)
		return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	}
	return middle(values), middle(losses)
}

// A server is a Caddy with one site.
type server struct{ caddy, dir, directives, response string }

// measure starts the server, and stops it again. It is a new process each time, since the layout of its memory and the
// order of its maps last for a process, and have their own effect on its speed.
func measure(ctx context.Context, s server, duration time.Duration) (rate, error) {
	ctx, stop := context.WithCancel(ctx)
	p, err := s.start(ctx)
	if err != nil {
		stop()
		return rate{}, err
	}
	defer func() {
		stop()
		<-p.exited
	}()
	if err := s.check(ctx, p.url); err != nil {
		return rate{}, err
	}
	if _, err := load(ctx, p.url, time.Second); err != nil { // to warm up
		return rate{}, err
	}
	start := time.Now()
	before, err := p.processorTime()
	if err != nil {
		return rate{}, err
	}
	requests, err := load(ctx, p.url, duration)
	if err != nil {
		return rate{}, err
	}
	after, err := p.processorTime()
	if err != nil {
		return rate{}, err
	}
	return rate{requests / (after - before).Seconds(), requests / time.Since(start).Seconds()}, nil
}

// A process is a server that runs.
type process struct {
	pid    int
	url    string
	exited chan struct{}
}

// start starts the server and waits until it has loaded its configuration. It runs until ctx is canceled.
func (s server) start(ctx context.Context) (process, error) {
	// Caddy connects to loaded when it has loaded its configuration, as it does for its own "caddy start".
	loaded, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return process{}, err
	}
	defer loaded.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return process{}, err
	}
	site := "http://" + free.Addr().String()
	free.Close()

	caddyfile := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(caddyfile, []byte(`{
	admin off
	log {
		output discard
	}
}
`+site+` {
	`+s.directives+`
	`+s.response+`
}
`), 0o600); err != nil {
		return process{}, err
	}
	cmd := exec.CommandContext(ctx, s.caddy, "run", "--config", caddyfile, "--adapter", "caddyfile",
		"--pingback", loaded.Addr().String())
	// One processor for the server, and the others for wrk: a server that waits for work on several burns time there.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "XDG_CONFIG_HOME="+s.dir, "XDG_DATA_HOME="+s.dir)
	cmd.Stdin = strings.NewReader("loaded")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		loaded.Close()
		close(exited)
	}()
	connection, err := loaded.Accept()
	if err != nil {
		<-exited
		return process{}, fmt.Errorf("no Caddy runs:\n%s", &output)
	}
	connection.Close()
	return process{cmd.Process.Pid, site + "/orders", exited}, nil
}

// check makes sure that what is measured works.
func (s server) check(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Origin", sites.App)
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	allowed := response.Header.Get("Access-Control-Allow-Origin") != ""
	if string(body) != "hello" || allowed != (s.directives != sites.None.Directives) {
		return fmt.Errorf("an unexpected response: %s, %q, %q", response.Status, response.Header, body)
	}
	return nil
}

var (
	requestsLine = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	errorLine    = regexp.MustCompile(`(?m)^\s*(?:Socket errors|Non-2xx).*$`)
)

// load sends requests for a while, and returns how many were answered.
func load(ctx context.Context, url string, duration time.Duration) (requests float64, err error) {
	seconds := strconv.Itoa(int(max(duration.Seconds(), 1)))
	output, err := exec.CommandContext(ctx, "wrk", "--threads=1", "--connections=16", "--duration="+seconds+"s",
		"--header=Origin: "+sites.App, url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, output)
	}
	count := requestsLine.FindSubmatch(output)
	if failed := errorLine.Find(output); failed != nil || count == nil {
		return 0, fmt.Errorf("wrk: %s", cmp.Or(string(failed), string(output)))
	}
	return strconv.ParseFloat(string(count[1]), 64)
}

// ticks is how many there are to a second in /proc, on every architecture that Go supports.
const ticks = 100

// processorTime returns how long the process has run, in user mode and in the kernel, on all processors together.
func (p process) processorTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses. The times are fields 14 and 15.
	_, third, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(third)
	user, err := strconv.Atoi(fields[14-3])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[15-3])
	return time.Duration(user+system) * time.Second / ticks, err
}
