package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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
	"github.com/dunglas/httpsfv"
	"github.com/spf13/cobra"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The tests of this file hold docs/reference.md to the code: what the code has is on the page, and what the page has is in
// the code. Both lists are read, the one from the page's tables and the other from the code itself: its types, its parser,
// its commands, what it logs and counts; and from its source, where nothing else has the list.

// namespace is that of the sources of origins.
const namespace = "http.cors.origins"

// repository is the import path of the module.
var repository = reflect.TypeFor[caddycors.Handler]().PkgPath()

func reference(t *testing.T) *markdown.Page { return markdown.Read(t, "reference.md") }

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

// parseGo parses the Go files of a package's directory, without its tests. The directory of the root package is ".".
func parseGo(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// code returns the directories of the packages that are in users' binaries, and of the commands.
func code(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		dir, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case dir == "bench" || name == "testdata" || path != root && strings.HasPrefix(name, "."):
			return filepath.SkipDir
		case dir != filepath.FromSlash("internal/livecaddy") && len(parseGo(t, dir)) > 0:
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
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
func ownModules(below string) map[string]caddy.Module {
	modules := make(map[string]caddy.Module)
	for _, id := range caddy.Modules() {
		info, err := caddy.GetModule(id)
		if err != nil || !strings.HasPrefix(id, below) || strings.HasPrefix(info.ID.Name(), "cors_check") { // which only a check registers
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

// optionNames returns the options that the Caddyfile's parser knows, those of a policy and those of the whole directive:
// the keys of its tables.
func optionNames(t *testing.T) (ofPolicy, ofDirective []string) {
	t.Helper()
	keys := func(function string) (all []string) {
		inspect(t, ".", func(f *ast.FuncDecl) {
			if f.Name.Name != function {
				return
			}
			ast.Inspect(f, func(node ast.Node) bool {
				if pair, ok := node.(*ast.KeyValueExpr); ok {
					if key, ok := stringLiteral(pair.Key); ok {
						all = append(all, key)
					}
				}
				return true
			})
		})
		if len(all) == 0 {
			t.Fatalf("no options in %s", function)
		}
		return all
	}
	return keys("policyOptions"), append(keys("handlerOptions"), "policy")
}

func TestReferenceHasAllHeadingsAtItsTop(t *testing.T) {
	p := reference(t)
	var linked []string
	for _, link := range p.Sections()[0].Intro().Links() {
		if anchor, ok := strings.CutPrefix(link.Destination, "#"); ok {
			linked = append(linked, anchor)
		}
	}
	same(t, "table of contents", linked, p.Anchors()[1:]) // but for the page's own
}

func TestReferenceModules(t *testing.T) {
	same(t, "modules", reference(t).Section(t, "Modules").Code("module", "module"), names(ownModules("")))
}

func TestReferenceOptions(t *testing.T) {
	ofPolicy, ofDirective := optionNames(t)
	inPolicy, inHandler := jsonFields(reflect.TypeFor[caddycors.Policy]()), jsonFields(reflect.TypeFor[caddycors.Handler]())
	standards := standardOptions(t)
	var documented, documentedJSON []string
	for _, h := range reference(t).Section(t, "Options").Sections() {
		name := strings.Trim(h.Heading, "`")
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

		rows := h.Rows("syntax")
		if len(rows) != 1 {
			t.Errorf("%s has %d rows of syntax", name, len(rows))
			continue
		}
		if syntax, _, _ := strings.Cut(rows[0]["syntax"].Plain(), " "); syntax != name {
			t.Errorf("%s: its syntax is %s", name, rows[0]["syntax"].Text)
		}
		for column, text := range want {
			if rows[0][column].Text != text {
				t.Errorf("%s: %s is %q, and not %q", name, column, text, rows[0][column].Text)
			}
		}
	}
	same(t, "options of the Caddyfile", documented, slices.Concat(ofPolicy, ofDirective))
	same(t, "fields of the JSON", documentedJSON, names(inHandler))
}

// standardOptions returns the defaults besides "off" and "none", by what a response shows.
func standardOptions(t *testing.T) map[string]string {
	t.Helper()
	url := livecaddy.Site(t, "cors "+app+"\nreverse_proxy "+livecaddy.Upstream(t, says(fields{"Access-Control-Allow-Origin": "*"})))
	preflight := livecaddy.Send(t, "OPTIONS", url, fields{"Origin": app, "Access-Control-Request-Method": "GET"})
	age, err := time.ParseDuration(preflight.Header.Get("Access-Control-Max-Age") + "s")
	if err != nil {
		t.Fatal(err)
	}
	upstream := "preserve"
	if livecaddy.Send(t, "GET", url, fields{"Origin": app}).Header.Get("Access-Control-Allow-Origin") == app {
		upstream = "override"
	}
	return map[string]string{
		"max_age":          "`" + strings.TrimSuffix(age.String(), "0s") + "`",
		"preflight_status": fmt.Sprintf("`%d`", preflight.StatusCode),
		"upstream":         "`" + upstream + "`",
	}
}

// The origins of the tables are what the page says.
func TestReferenceOrigins(t *testing.T) {
	p := reference(t)
	list := filepath.Join(t.TempDir(), "origins")
	if err := os.WriteFile(list, []byte(app+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_ORIGINS", app)
	for _, row := range p.Section(t, "Written origins").Rows("written") {
		for _, written := range row["written"].Code {
			written = strings.NewReplacer("<id>", "abcdefgh", "run/origins", list).Replace(written)
			url := livecaddy.Site(t, "vars tenant_origin "+app+"\ncors "+written+"\nrespond hello")
			allows := func(origin string) bool {
				return livecaddy.Send(t, "GET", url, fields{"Origin": origin}).Header["Access-Control-Allow-Origin"] != nil
			}
			if !strings.ContainsAny(written, "*{") && !allows(written) {
				t.Errorf("%s does not allow itself", written)
			}
			for _, not := range row["and not"].Code {
				if !strings.HasSuffix(not, "//") && allows(not) {
					t.Errorf("%s allows %s", written, not)
				}
			}
		}
	}
	for _, row := range p.Section(t, "`allow_origins`").Rows("refused") {
		for _, span := range row["refused"].Code {
			if _, err := livecaddy.Adapt(":8080 {\ncors " + span + "\n}"); strings.ContainsAny(span, "./") && err == nil {
				t.Errorf("%s is not refused", span)
			}
		}
		for _, span := range row["the way out"].Code {
			if _, err := livecaddy.Adapt(":8080 {\ncors " + span + "\n}"); strings.ContainsAny(span, "./") && err != nil {
				t.Errorf("%s is refused: %v", span, err)
			}
		}
	}
}

func TestReferenceRisks(t *testing.T) {
	_, err := livecaddy.Adapt(":8080 {\ncors * {\ninsecure x\n}\n}")
	_, list, _ := strings.Cut(fmt.Sprint(err), "; those are: ")
	list, _, _ = strings.Cut(list, ", at ")
	same(t, "risks", reference(t).Section(t, "`insecure`").Code("risk", "risk"), strings.Split(list, ", "))
}

func TestReferenceSources(t *testing.T) {
	section := reference(t).Section(t, "Origin sources")
	var documented []string
	for _, h := range section.Sections() {
		if len(h.Rows("Caddyfile")) > 0 {
			documented = append(documented, namespace+"."+strings.Trim(h.Heading, "`"))
		}
	}
	modules := ownModules(namespace + ".")
	same(t, "sources", documented, names(modules))
	for id, module := range modules {
		source := strings.TrimPrefix(id, namespace+".")
		fields := jsonFields(reflect.TypeOf(module).Elem())
		rows := reference(t).Section(t, "`"+source+"`").Rows("Caddyfile")
		standards := reflect.ValueOf(provisionSource(t, id, rows)).Elem()
		var documentedOptions, documentedJSON []string
		for _, row := range rows {
			option, _, _ := strings.Cut(row["Caddyfile"].Plain(), " ")
			name := row["JSON"].Plain()
			documentedOptions, documentedJSON = append(documentedOptions, option), append(documentedJSON, name)
			field, ok := fields[name]
			if !ok {
				continue // which is reported below
			}
			if want := jsonType(field.Type); row["type"].Text != want {
				t.Errorf("%s: %s is of the type %s, and not %s", source, name, want, row["type"].Text)
			}
			if row["default"].Text == "required" {
				continue
			}
			standard := row["default"].Plain()
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
func provisionSource(t *testing.T, id string, rows []map[string]markdown.Inline) any {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("https://app.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := map[string]string{"path": list, "key": filepath.Base(list), "url": "http://localhost:9001/origins"}
	required := make(map[string]string)
	for _, row := range rows {
		if name := row["JSON"].Plain(); row["default"].Text == "required" {
			required[name] = arguments[name]
		}
	}
	raw, err := json.Marshal(required)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(livecaddy.Context(t, dir))
	t.Cleanup(cancel)
	source, err := ctx.LoadModuleByID(id, raw)
	if err != nil {
		t.Fatalf("%s does not load with what the page says is required: %v", id, err)
	}
	return source
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
		documented = append(documented, p.Section(t, section).Code("", "")...)
	}
	for _, dir := range code(t) {
		for _, value := range constants(t, dir, "") {
			name := strings.TrimPrefix(value, "Access-Control-")
			if value == "Timing-Allow-Origin" || name != value && name != "" && !strings.HasPrefix(name, "Request-") {
				coded = append(coded, value)
			}
		}
	}
	same(t, "response headers", documented, coded)
}

func TestReferenceDecisions(t *testing.T) {
	p := reference(t)
	same(t, "outcomes", p.Section(t, "Outcomes").Code("outcome", "outcome"), constants(t, "internal/policy", "Outcome"))
	same(t, "reasons", p.Section(t, "Reasons").Code("reason", "reason"), constants(t, "internal/policy", "Reason"))

	var placeholders []string
	for _, value := range constants(t, ".", "") {
		if strings.HasPrefix(value, "cors.") {
			placeholders = append(placeholders, "{http.vars."+value+"}")
		}
	}
	same(t, "placeholders", p.Section(t, "Placeholders").Code("placeholder", "placeholder"), placeholders)

	const name = "X-Cors-Decision"
	url := livecaddy.Site(t, "cors {\ndebug\npolicy partner "+app+"\n}\nrespond hello")
	lines := livecaddy.Send(t, "OPTIONS", url, fields{"Origin": app, "Access-Control-Request-Method": "PUT"}).Header[name]
	item, err := httpsfv.UnmarshalItem(lines)
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	section := p.Section(t, "Debug header")
	same(t, "the parameters of the debug header", section.Code("part", "part"), item.Params.Names())
	if want := name + ": " + lines[0]; !strings.Contains(section.Text(), want) {
		t.Errorf("the example of the debug header is not %s", want)
	}
}

func TestReferenceLog(t *testing.T) {
	p := reference(t)
	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello")
	livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "PUT"})
	lines := o.Logged()
	if len(lines) != 1 {
		t.Fatalf("logged: %v", lines)
	}
	section := p.Section(t, "Denials")
	documented := make(map[string]string)
	for _, row := range section.Rows("field") {
		for _, name := range row["field"].Code {
			documented[name] = row["type"].Text
		}
	}
	for name, value := range lines[0] {
		kind := "number"
		switch value.(type) {
		case string:
			kind = "string"
		case bool:
			kind = "boolean"
		}
		if documented[name] != kind {
			t.Errorf("the field %s is a %s, and not a %q", name, kind, documented[name])
		}
	}
	same(t, "fields of the log", names(documented), names(lines[0]))
	var messages []string
	for _, dir := range code(t) {
		for _, message := range calledWith(t, dir, "Warn") {
			if strings.Contains(message, " denied") {
				messages = append(messages, message)
			}
		}
	}
	same(t, "messages of the log", section.Code("message", "message"), messages)

	section = p.Section(t, "Sources")
	same(t, "messages of sources", section.Code("level", "message"), calledWith(t, "origins", "is", "over", "Info", "Warn", "Error"))
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
	same(t, "fields of the log of sources", section.Code("level", "fields"), fields)
}

func TestReferenceMetrics(t *testing.T) {
	o := livecaddy.Observe(t, `cors {
		policy reference-first https://first.example.com
		policy reference-last https://last.example.com
	}
	cors /enforced https://last.example.com {
		enforce
	}
	cors /watched https://last.example.com {
		report_only
	}`, "metrics")
	types := make(map[string]string) // of the metrics
	values := make(map[string][]string)
	series := make(map[string]int) // of a policy
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for line := range strings.Lines(livecaddy.Send(t, "GET", "http://"+o.Admin+"/metrics", nil).Text) {
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

	section := reference(t).Section(t, "Metrics")
	same(t, "metrics", section.Code("metric", "metric"), names(types))
	for _, row := range section.Rows("metric") {
		if kind := types[row["metric"].Plain()]; row["type"].Text != kind {
			t.Errorf("%s is a %s, and not a %s", row["metric"].Text, kind, row["type"].Text)
		}
	}
	same(t, "labels of the metric", section.Code("metric", "labels"), names(values))
	same(t, "labels", section.Code("label", "label"), names(values))
	for _, row := range section.Rows("label") {
		if name := row["label"].Plain(); name != "policy" { // whose values are the configuration's
			same(t, "values of "+name, row["values"].Code, values[name])
		}
	}
	want := fmt.Sprintf("%d for each policy", series["reference-first"])
	if series["reference-first"] != series["reference-last"] {
		t.Errorf("the policies have %v series", series)
	}
	if !strings.Contains(section.Text(), want) {
		t.Errorf("the page does not say: %s", want)
	}
}

func TestReferenceAdminAPI(t *testing.T) {
	section := reference(t).Section(t, "Admin API")
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
	for _, row := range section.Rows("request") {
		documented = append(documented, row["request"].Text)
		if status := coded[row["request"].Text]; row["status"].Text != status {
			t.Errorf("the status of %s is %s, and not %s", row["request"].Text, status, row["status"].Text)
		}
	}
	same(t, "requests", documented, names(coded))

	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello")
	livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "PUT"})
	var report map[string]any
	if err := json.Unmarshal([]byte(livecaddy.Send(t, "GET", o.DenialsURL(), nil).Text), &report); err != nil {
		t.Fatal(err)
	}
	all := names(report)
	for name := range report["denials"].([]any)[0].(map[string]any) {
		all = append(all, "denials[]."+name)
	}
	same(t, "fields of the list of denials", section.Code("field", "field"), all)
}

func TestReferenceCommands(t *testing.T) {
	p := reference(t)
	root := &cobra.Command{Use: "cors"}
	caddycmd.Commands()["cors"].CobraFunc(root)
	documented, coded := []string{}, []string{"caddy cors"}
	for _, h := range p.Section(t, "Commands").Sections() {
		if strings.HasPrefix(h.Heading, "`") {
			documented = append(documented, strings.Trim(h.Heading, "`"))
		}
	}
	for _, cmd := range root.Commands() {
		name := "caddy cors " + cmd.Name()
		coded = append(coded, name)
		section := p.Section(t, "`"+name+"`")
		var flags []string
		for _, m := range regexp.MustCompile(`(?m)^ +(?:(-\w), )?(--[\w-]+)`).FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
			if flags = append(flags, m[2]); m[1] != "" {
				flags = append(flags, m[1])
			}
		}
		same(t, "flags of "+name, section.Code("flag", "flag"), flags)
		usage := strings.Join(strings.Fields("caddy cors "+cmd.Use), " ")
		if !strings.Contains(section.Text(), usage) {
			t.Errorf("the usage of %s is not %s", name, usage)
		}
	}
	same(t, "commands", documented, coded)

	codes := make(map[string]string) // of the check's verdicts
	for _, row := range p.Section(t, "`caddy cors check`").Rows("exit code") {
		codes[row["`verdict`"].Plain()] = row["exit code"].Text
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
	p, page, browsers := reference(t), markdown.Read(t, "check.md"), markdown.Read(t, "browsers.md")
	section := p.Section(t, "JSON of the check")

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
	same(t, "codes of causes", page.Section(t, "JSON").Code("`cause.code`", "`cause.code`"), causes)

	warnings := section.Code("`warnings[].code`", "`warnings[].code`")
	for _, h := range browsers.Sections() {
		if h.Level == 2 {
			warnings = append(warnings, h.Code("warning", "warning")...)
		}
	}
	same(t, "codes of warnings", warnings, append(constants(t, "internal/fetch", "WarningCode"), calledWith(t, "internal/check", "warn")...))
	same(t, "outcomes of steps", section.Code("`steps[].outcome`", "`steps[].outcome`"), constants(t, "internal/fetch", "Outcome"))

	var fields []string
	for _, of := range []reflect.Type{reflect.TypeFor[check.Report](), reflect.TypeFor[check.Cause](), reflect.TypeFor[check.Fix](), reflect.TypeFor[check.Warning](), reflect.TypeFor[check.Step](), reflect.TypeFor[check.Exchange]()} {
		fields = append(fields, names(jsonFields(of))...)
	}
	var documented []string
	for _, span := range slices.Concat(page.Section(t, "JSON").Code("name", "name"), page.Section(t, "JSON").Code("name", "")) {
		documented = append(documented, span[strings.LastIndexByte(span, '.')+1:])
	}
	for _, name := range fields {
		if !slices.Contains(documented, name) {
			t.Errorf("the field %s of the check's JSON is not documented", name)
		}
	}
}
