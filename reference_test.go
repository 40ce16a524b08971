package caddycors

import (
	"encoding/json"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/certmagic"
	"github.com/dunglas/httpsfv"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// The tests of this file hold docs/reference.md to the code: what the code has is on the page, and what the page has is in
// the code. Both lists are read, the one from the page's tables and the other from the code itself: its types, its parser,
// its commands, what it logs and counts; and from its source, where nothing else has the list.

// repository is the import path of this package.
var repository = reflect.TypeFor[Handler]().PkgPath()

func reference(t *testing.T) *page { return readPage(t, "docs/reference.md") }

// section returns what stands under a heading.
func (p *page) section(t *testing.T, text string) heading {
	t.Helper()
	for _, h := range p.headings() {
		if h.text == text {
			return h
		}
	}
	t.Fatalf("%s has no heading %q", p.path, text)
	return heading{}
}

// table returns the rows of the tables under a heading whose first column is named so. A row has a cell for each column's
// name.
func (h heading) table(first string) []map[string]string {
	var rows []map[string]string
	var names []string
	for _, line := range h.lines {
		if line.code != nil || !strings.HasPrefix(line.text, "|") {
			names = nil
			continue
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line.text, `\|`, "\x00"), "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|"))
		}
		switch {
		case names == nil:
			names = cells
		case names[0] != first || strings.Trim(cells[0], "-") == "" && cells[0] != "":
		default:
			row := make(map[string]string)
			for i, name := range names[:min(len(names), len(cells))] {
				row[name] = cells[i]
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// column returns what is in code spans in a column of those tables.
func (h heading) column(first, name string) []string {
	var all []string
	for _, row := range h.table(first) {
		all = append(all, spans(row[name])...)
	}
	return all
}

// spans returns what is in code spans.
func spans(text string) []string {
	var all []string
	for _, span := range codeSpan.FindAllString(text, -1) {
		all = append(all, strings.Trim(span, "`"))
	}
	return all
}

// prose returns the words under a heading with single blanks between them.
func (h heading) prose() string {
	var words []string
	for _, line := range h.lines {
		words = append(words, strings.Fields(line.text)...)
	}
	return strings.Join(words, " ")
}

// same reports what only one of the lists has.
func same(t *testing.T, what string, documented, coded []string) {
	t.Helper()
	if len(coded) == 0 {
		t.Errorf("%s: the code has none", what)
	}
	for _, name := range coded {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: %q is not documented", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(coded, name) {
			t.Errorf("%s: %q is documented, but not in the code", what, name)
		}
	}
}

// parseGo parses the Go files of a package's directory, without its tests.
func parseGo(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := goparser.ParseFile(token.NewFileSet(), name, nil, goparser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constants returns the values of a package's string constants that are of a type, or if it is empty, of none.
func constants(t *testing.T, dir, typeName string) []string {
	t.Helper()
	var values []string
	inspect(t, dir, func(spec *ast.ValueSpec) {
		name := ""
		switch typed := spec.Type.(type) {
		case *ast.Ident:
			name = typed.Name
		case *ast.SelectorExpr: // of another package
			name = typed.Sel.Name
		}
		for _, value := range spec.Values {
			if text, ok := stringLiteral(value); ok && name == typeName {
				values = append(values, text)
			}
		}
	})
	return values
}

// inspect calls f for all nodes of a kind in a package.
func inspect[N ast.Node](t *testing.T, dir string, f func(N)) {
	t.Helper()
	for _, file := range parseGo(t, dir) {
		ast.Inspect(file, func(node ast.Node) bool {
			if n, ok := node.(N); ok {
				f(n)
			}
			return true
		})
	}
}

// calledWith returns, for each call of these functions or methods in a package, the first argument that is a string
// literal.
func calledWith(t *testing.T, dir string, names ...string) []string {
	t.Helper()
	var literals []string
	inspect(t, dir, func(call *ast.CallExpr) {
		name := ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if !slices.Contains(names, name) {
			return
		}
		for _, argument := range call.Args {
			if text, ok := stringLiteral(argument); ok {
				literals = append(literals, text)
				return
			}
		}
	})
	return literals
}

func stringLiteral(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

// jsonFields returns the fields of a struct by their names in JSON, those of embedded structs among them.
func jsonFields(of reflect.Type) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	for _, field := range reflect.VisibleFields(of) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			fields[name] = field
		}
	}
	return fields
}

// jsonType is what the page calls a type.
func jsonType(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[json.RawMessage]():
		return "object"
	case of.Kind() == reflect.Pointer:
		return jsonType(of.Elem())
	case of == reflect.TypeFor[caddy.Duration]():
		return "duration"
	case of.Kind() == reflect.Slice:
		return "array of " + jsonType(of.Elem()) + "s"
	case of.Kind() == reflect.Struct:
		return "object"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.Int:
		return "integer"
	}
	return of.Kind().String()
}

// ownModules returns the modules of this repository in a namespace and below, by their IDs.
func ownModules(namespace string) map[string]caddy.Module {
	modules := make(map[string]caddy.Module)
	for _, id := range caddy.Modules() {
		info, err := caddy.GetModule(id)
		if err != nil || !strings.HasPrefix(id, namespace) || info.ID.Name() == "cors_check" { // which only a check registers
			continue
		}
		module := info.New()
		if path := reflect.Indirect(reflect.ValueOf(module)).Type().PkgPath(); path == repository || strings.HasPrefix(path, repository+"/") {
			modules[id] = module
		}
	}
	return modules
}

func names[V any](of map[string]V) []string {
	var all []string
	for name := range of {
		all = append(all, name)
	}
	return all
}

// optionNames returns the options that the Caddyfile's parser knows, those of a policy and those of the whole directive.
func optionNames(t *testing.T) (ofPolicy, ofDirective []string) {
	t.Helper()
	d := caddyfile.NewTestDispenser("cors")
	d.Next()
	p := newParser(d)
	return names(p.policyOptions(new(PolicyOptions))), append(names(p.handlerOptions(new(Handler))), "policy")
}

func TestReferenceHasAllHeadingsAtItsTop(t *testing.T) {
	p := reference(t)
	end := slices.IndexFunc(p.lines, func(line pageLine) bool { return strings.HasPrefix(line.text, "## ") })
	var linked []string
	for _, link := range linksIn(p.lines[:end]) {
		if anchor, ok := strings.CutPrefix(link, "#"); ok {
			linked = append(linked, anchor)
		}
	}
	same(t, "table of contents", linked, p.anchors()[1:]) // but for the page's own
}

func TestReferenceModules(t *testing.T) {
	same(t, "modules", reference(t).section(t, "Modules").column("module", "module"), names(ownModules("")))
}

func TestReferenceOptions(t *testing.T) {
	ofPolicy, ofDirective := optionNames(t)
	inPolicy, inHandler := jsonFields(reflect.TypeFor[Policy]()), jsonFields(reflect.TypeFor[Handler]())
	standards := map[string]string{ // besides "off" and "none"
		"max_age":          "`" + strings.TrimSuffix(defaultMaxAge.String(), "0s") + "`",
		"preflight_status": fmt.Sprintf("`%d`", defaultPreflightStatus),
		"upstream":         "`" + upstreamOverride + "`",
	}
	var documented, documentedJSON []string
	for _, h := range reference(t).section(t, "Options").headings() {
		name := strings.Trim(h.text, "`")
		field, prefix := name, ""
		if name == "policy" {
			field, prefix = "policies", "`policies`: "
		}
		documented, documentedJSON = append(documented, name), append(documentedJSON, field)
		if _, ok := inHandler[field]; !ok {
			continue // which is reported below
		}
		kind := jsonType(inHandler[field].Type)
		want := map[string]string{"JSON": prefix + kind, "default": "none", "for": "`cors`"}
		if kind == "boolean" {
			want["default"] = "off"
		}
		if standard, ok := standards[name]; ok {
			want["default"] = standard
		}
		if slices.Contains(ofPolicy, name) {
			want["for"] = "`cors`, `policy`"
		}
		if _, ok := inPolicy[field]; ok != slices.Contains(ofPolicy, name) {
			t.Errorf("%s: the Caddyfile has it in policies or the JSON has, but not both", name)
		}

		rows := h.table("syntax")
		if len(rows) != 1 {
			t.Errorf("%s has %d rows of syntax", name, len(rows))
			continue
		}
		if syntax, _, _ := strings.Cut(strings.Trim(rows[0]["syntax"], "`"), " "); syntax != name {
			t.Errorf("%s: its syntax is %s", name, rows[0]["syntax"])
		}
		for column, text := range want {
			if rows[0][column] != text {
				t.Errorf("%s: %s is %q, and not %q", name, column, text, rows[0][column])
			}
		}
	}
	same(t, "options of the Caddyfile", documented, slices.Concat(ofPolicy, ofDirective))
	same(t, "fields of the JSON", documentedJSON, names(inHandler))
}

// The origins of the tables are what the page says.
func TestReferenceOrigins(t *testing.T) {
	p := reference(t)
	compile := func(origin string) (*policy.Policies, []policy.Problem) {
		compiled, problems, _ := policy.Compile(policy.Options{Name: policy.DefaultName, AllowOrigins: []string{origin}})
		return policy.NewPolicies(compiled), problems
	}
	for _, row := range p.section(t, "Written origins").table("written") {
		for _, written := range spans(row["written"]) {
			written = strings.ReplaceAll(written, "<id>", "abcdefgh")
			policies, problems := compile(written)
			if len(problems) > 0 {
				t.Errorf("%s is refused: %v", written, problems)
			}
			outcome := func(origin string) policy.Outcome {
				return policies.Decide(&policy.Request{Origin: []string{origin}}).Outcome
			}
			if !strings.ContainsAny(written, "*{") && outcome(written) != policy.Allowed {
				t.Errorf("%s does not allow itself", written)
			}
			for _, not := range spans(row["and not"]) {
				if !strings.HasSuffix(not, "//") && outcome(not) != policy.Denied {
					t.Errorf("%s allows %s", written, not)
				}
			}
		}
	}
	for _, row := range p.section(t, "`allow_origins`").table("refused") {
		for _, span := range spans(row["refused"]) {
			if _, problems := compile(span); strings.ContainsAny(span, "./") && len(problems) == 0 {
				t.Errorf("%s is not refused", span)
			}
		}
		for _, span := range spans(row["the way out"]) {
			if _, problems := compile(span); strings.ContainsAny(span, "./") && len(problems) > 0 {
				t.Errorf("%s is refused: %v", span, problems)
			}
		}
	}
}

func TestReferenceRisks(t *testing.T) {
	_, problems, _ := policy.Compile(policy.Options{Name: policy.DefaultName, AllowOrigins: []string{"*"}, Insecure: []string{"x"}})
	if len(problems) != 1 {
		t.Fatal(problems)
	}
	_, list, _ := strings.Cut(problems[0].Message, "; those are: ")
	same(t, "risks", reference(t).section(t, "`insecure`").column("risk", "risk"), strings.Split(list, ", "))
}

func TestReferenceSources(t *testing.T) {
	section := reference(t).section(t, "Origin sources")
	var documented []string
	for _, h := range section.headings() {
		if len(h.table("Caddyfile")) > 0 {
			documented = append(documented, sourceNamespace+"."+strings.Trim(h.text, "`"))
		}
	}
	modules := ownModules(sourceNamespace + ".")
	same(t, "sources", documented, names(modules))
	for id, module := range modules {
		source := strings.TrimPrefix(id, sourceNamespace+".")
		fields := jsonFields(reflect.TypeOf(module).Elem())
		rows := reference(t).section(t, "`"+source+"`").table("Caddyfile")
		standards := reflect.ValueOf(provisionSource(t, id, rows)).Elem()
		var documentedOptions, documentedJSON []string
		for _, row := range rows {
			option, _, _ := strings.Cut(strings.Trim(row["Caddyfile"], "`"), " ")
			name := strings.Trim(row["JSON"], "`")
			documentedOptions, documentedJSON = append(documentedOptions, option), append(documentedJSON, name)
			field, ok := fields[name]
			if !ok {
				continue // which is reported below
			}
			if want := jsonType(field.Type); row["type"] != want {
				t.Errorf("%s: %s is of the type %s, and not %s", source, name, want, row["type"])
			}
			if row["default"] == "required" {
				continue
			}
			standard := strings.Trim(row["default"], "`")
			if duration, err := caddy.ParseDuration(standard); err == nil {
				standard = duration.String()
			}
			value := standards.FieldByIndex(field.Index).Interface()
			if duration, ok := value.(caddy.Duration); ok {
				value = time.Duration(duration)
			}
			if fmt.Sprint(value) != standard {
				t.Errorf("%s: the default of %s is %v, and not %s", source, name, value, standard)
			}
		}
		same(t, source+" in the Caddyfile", documentedOptions, append(sourceOptions(id, source), source))
		same(t, source+" in JSON", documentedJSON, names(fields))
	}
}

// provisionSource loads a source with nothing but what the page says is required.
func provisionSource(t *testing.T, id string, rows []map[string]string) any {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("https://app.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := map[string]string{"path": list, "key": filepath.Base(list), "url": "http://localhost:9001/origins"}
	required := make(map[string]string)
	for _, row := range rows {
		if name := strings.Trim(row["JSON"], "`"); row["default"] == "required" {
			required[name] = arguments[name]
		}
	}
	raw, err := json.Marshal(required)
	if err != nil {
		t.Fatal(err)
	}

	before := certmagic.Default.Storage
	t.Cleanup(func() { certmagic.Default.Storage = before })
	base, err := caddy.ProvisionContext(&caddy.Config{Logging: discardLogs(), StorageRaw: fmt.Appendf(nil, `{"module": "file_system", "root": %q}`, dir)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	source, err := ctx.LoadModuleByID(id, raw)
	if err != nil {
		t.Fatalf("%s does not load with what the page says is required: %v", id, err)
	}
	return source
}

func discardLogs() *caddy.Logging {
	return &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "discard"}`)}}}}
}

// sourceOptions returns the options that a source takes in the Caddyfile. It tells them where it is given another one.
func sourceOptions(id, source string) []string {
	d := caddyfile.NewTestDispenser(source + " x {\nno_option\n}")
	d.Next()
	_, err := caddyfile.UnmarshalModule(d, id)
	_, options, _ := strings.Cut(fmt.Sprint(err), "; its options: ")
	options, _, _ = strings.Cut(options, ", at ")
	return strings.Split(options, ", ")
}

func TestReferenceResponseHeaders(t *testing.T) {
	p := reference(t)
	var documented, coded []string
	for _, section := range []string{"Preflights", "Actual requests"} {
		documented = append(documented, p.section(t, section).column("", "")...)
	}
	for _, value := range constants(t, ".", "") {
		if isCORS(value) && value != corsPrefix {
			coded = append(coded, value)
		}
	}
	same(t, "response headers", documented, coded)
}

func TestReferenceDecisions(t *testing.T) {
	p := reference(t)
	same(t, "outcomes", p.section(t, "Outcomes").column("outcome", "outcome"), constants(t, "internal/policy", "Outcome"))
	same(t, "reasons", p.section(t, "Reasons").column("reason", "reason"), constants(t, "internal/policy", "Reason"))

	var placeholders []string
	for _, value := range constants(t, ".", "") {
		if strings.HasPrefix(value, "cors.") {
			placeholders = append(placeholders, "{http.vars."+value+"}")
		}
	}
	same(t, "placeholders", p.section(t, "Placeholders").column("placeholder", "placeholder"), placeholders)

	compiled, problems, _ := policy.Compile(policy.Options{Name: "partner", AllowOrigins: []string{"*"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	decision := &policy.Decision{Outcome: policy.Denied, Policy: compiled, Reason: policy.MethodNotAllowed, Detail: "PUT"}
	item, err := httpsfv.UnmarshalItem([]string{debugValue(decision)})
	if err != nil {
		t.Fatal(err)
	}
	section := p.section(t, "Debug header")
	same(t, "the parameters of the debug header", section.column("part", "part"), item.Params.Names())
	if want := debugHeader + ": " + debugValue(decision); !strings.Contains(section.prose(), want) {
		t.Errorf("the example of the debug header is not %s", want)
	}
}

func TestReferenceLog(t *testing.T) {
	p := reference(t)
	core, logs := observer.New(zap.InfoLevel)
	logger := zap.New(core)
	(&denial{Detail: "PUT"}).log(logger)
	(&denials{unlogged: 1, logger: logger}).logUnlogged()
	section := p.section(t, "Denials")
	documented := make(map[string]string)
	for _, row := range section.table("field") {
		for _, name := range spans(row["field"]) {
			documented[name] = row["type"]
		}
	}
	var messages []string
	for i, entry := range logs.All() {
		messages = append(messages, entry.Message)
		coded := make(map[string]string)
		for name, value := range entry.ContextMap() {
			switch value.(type) {
			case string:
				coded[name] = "string"
			case bool:
				coded[name] = "boolean"
			default:
				coded[name] = "number"
			}
			if documented[name] != coded[name] {
				t.Errorf("the field %s is a %s, and not a %q", name, coded[name], documented[name])
			}
		}
		if i == 0 {
			same(t, "fields of the log", names(documented), names(coded))
		}
	}
	same(t, "messages of the log", section.column("message", "message"), messages)

	section = p.section(t, "Sources")
	same(t, "messages of sources", section.column("level", "message"), calledWith(t, "origins", "is", "over", "Info", "Warn", "Error"))
	fields := []string{"error"} // which zap names
	inspect(t, "origins", func(call *ast.CallExpr) {
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || len(call.Args) != 2 {
			return
		}
		if of, ok := f.X.(*ast.Ident); ok && of.Name == "zap" {
			if name, ok := stringLiteral(call.Args[0]); ok {
				fields = append(fields, name)
			}
		}
	})
	same(t, "fields of the log of sources", section.column("level", "fields"), fields)
}

func TestReferenceMetrics(t *testing.T) {
	url := "http://127.0.0.1:" + livecaddy.FreePort(t)
	livecaddy.Start(t, url+` {
	cors {
		policy reference-first https://first.example.com
		policy reference-last https://last.example.com
	}
	metrics
}`, "metrics")
	t.Cleanup(func() {
		for policy := range strings.FieldsSeq("reference-first reference-last") {
			requestsTotal.DeletePartialMatch(prometheus.Labels{"policy": policy})
		}
	})
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]string) // of the metrics
	values := make(map[string][]string)
	series := make(map[string]int) // of a policy
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "# TYPE caddy_http_cors_"); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			types["caddy_http_cors_"+name] = kind
		}
		if !strings.HasPrefix(line, "caddy_http_cors_") {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] == "policy" {
				series[m[2]]++
			}
			if m[2] != "" {
				values[m[1]] = append(values[m[1]], m[2])
			}
		}
	}

	section := reference(t).section(t, "Metrics")
	same(t, "metrics", section.column("metric", "metric"), names(types))
	for _, row := range section.table("metric") {
		if kind := types[strings.Trim(row["metric"], "`")]; row["type"] != kind {
			t.Errorf("%s is a %s, and not a %s", row["metric"], kind, row["type"])
		}
	}
	same(t, "labels of the metric", section.column("metric", "labels"), names(values))
	same(t, "labels", section.column("label", "label"), names(values))
	for _, row := range section.table("label") {
		if name := strings.Trim(row["label"], "`"); name != "policy" { // whose values are the configuration's
			same(t, "values of "+name, spans(row["values"]), values[name])
		}
	}
	want := fmt.Sprintf("%d for the last policy of a directive, which has those of the requests that no policy matches, and %d for each before it", series["reference-last"], series["reference-first"])
	if !strings.Contains(section.prose(), want) {
		t.Errorf("the page does not say: %s", want)
	}
}

func TestReferenceAdminAPI(t *testing.T) {
	section := reference(t).section(t, "Admin API")
	coded := make(map[string]string) // status by request
	for _, module := range ownModules("admin.api.") {
		for _, route := range module.(caddy.AdminRouter).Routes() {
			w := httptest.NewRecorder()
			err := route.Handler.ServeHTTP(w, httptest.NewRequest("OTHER", route.Pattern, nil))
			refusal, ok := err.(caddy.APIError)
			if !ok {
				t.Fatalf("%s takes any method: %v", route.Pattern, err)
			}
			coded["any other method"] = strconv.Itoa(refusal.HTTPStatus)
			for method := range strings.SplitSeq(w.Header().Get("Allow"), ", ") {
				w := httptest.NewRecorder()
				if err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, route.Pattern, nil)); err != nil {
					t.Fatal(err)
				}
				coded["`"+method+" "+route.Pattern+"`"] = strconv.Itoa(w.Code)
			}
		}
	}
	var documented []string
	for _, row := range section.table("request") {
		documented = append(documented, row["request"])
		if status := coded[row["request"]]; row["status"] != status {
			t.Errorf("the status of %s is %s, and not %s", row["request"], status, row["status"])
		}
	}
	same(t, "requests", documented, names(coded))

	fields := names(jsonFields(reflect.TypeFor[denialsReport]()))
	for name := range jsonFields(reflect.TypeFor[denial]()) {
		fields = append(fields, "denials[]."+name)
	}
	same(t, "fields of the list of denials", section.column("field", "field"), fields)
}

func TestReferenceCommands(t *testing.T) {
	p := reference(t)
	root := &cobra.Command{Use: "cors"}
	caddycmd.Commands()["cors"].CobraFunc(root)
	documented, coded := []string{}, []string{"caddy cors"}
	for _, h := range p.section(t, "Commands").headings() {
		if strings.HasPrefix(h.text, "`") {
			documented = append(documented, strings.Trim(h.text, "`"))
		}
	}
	for _, cmd := range root.Commands() {
		name := "caddy cors " + cmd.Name()
		coded = append(coded, name)
		section := p.section(t, "`"+name+"`")
		var flags []string
		for _, m := range regexp.MustCompile(`(?m)^ +(?:(-\w), )?(--[\w-]+)`).FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
			if flags = append(flags, m[2]); m[1] != "" {
				flags = append(flags, m[1])
			}
		}
		same(t, "flags of "+name, section.column("flag", "flag"), flags)
		usage := strings.Join(strings.Fields("caddy cors "+cmd.Use), " ")
		if !strings.Contains(section.prose(), usage) {
			t.Errorf("the usage of %s is not %s", name, usage)
		}
	}
	same(t, "commands", documented, coded)

	codes := make(map[string]string) // of the check's verdicts
	for _, row := range p.section(t, "`caddy cors check`").table("exit code") {
		codes[strings.Trim(row["`verdict`"], "`")] = row["exit code"]
	}
	verdicts := append(constants(t, "internal/fetch", "Verdict"), check.VerdictUnknown)
	same(t, "verdicts", names(codes), verdicts)
	for _, verdict := range verdicts {
		if code := strconv.Itoa((&check.Report{Verdict: verdict}).ExitCode()); codes[verdict] != code {
			t.Errorf("the exit code of %s is %s, and not %s", verdict, code, codes[verdict])
		}
	}
}

// The JSON of the check is documented on three pages.
func TestReferenceCheck(t *testing.T) {
	const noBody = "body-not-allowed" // no call that is checked has a body
	p, page, browsers := reference(t), readPage(t, "docs/check.md"), readPage(t, "docs/browsers.md")
	section := p.section(t, "JSON of the check")

	causes := slices.Concat(constants(t, "internal/fetch", "Code"), constants(t, "internal/check", "Code"), calledWith(t, "internal/check", "unknown"))
	inspect(t, "internal/check", func(f *ast.FuncDecl) {
		if f.Name.Name != "explainFailure" {
			return
		}
		ast.Inspect(f, func(node ast.Node) bool {
			if r, ok := node.(*ast.ReturnStmt); ok {
				if code, ok := stringLiteral(r.Results[0]); ok {
					causes = append(causes, code)
				}
			}
			return true
		})
	})
	causes = slices.DeleteFunc(causes, func(code string) bool { return code == noBody })
	same(t, "codes of causes", page.section(t, "JSON").column("`cause.code`", "`cause.code`"), causes)

	warnings := section.column("`warnings[].code`", "`warnings[].code`")
	for _, h := range browsers.headings() {
		if h.level == 2 {
			warnings = append(warnings, h.column("warning", "warning")...)
		}
	}
	same(t, "codes of warnings", warnings, append(constants(t, "internal/fetch", "WarningCode"), calledWith(t, "internal/check", "warn")...))
	same(t, "outcomes of steps", section.column("`steps[].outcome`", "`steps[].outcome`"), constants(t, "internal/fetch", "Outcome"))

	var fields []string
	for _, of := range []reflect.Type{reflect.TypeFor[check.Report](), reflect.TypeFor[check.Cause](), reflect.TypeFor[check.Fix](), reflect.TypeFor[check.Warning](), reflect.TypeFor[check.Step](), reflect.TypeFor[check.Exchange]()} {
		fields = append(fields, names(jsonFields(of))...)
	}
	var documented []string
	for _, span := range slices.Concat(page.section(t, "JSON").column("name", "name"), page.section(t, "JSON").column("name", "")) {
		documented = append(documented, span[strings.LastIndexByte(span, '.')+1:])
	}
	for _, name := range fields {
		if !slices.Contains(documented, name) {
			t.Errorf("the field %s of the check's JSON is not documented", name)
		}
	}
}
