package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The tests that SECURITY.md names are there, and what it says of an attack is shown by the row of TestAttacks that is
// named so, or by tests that it names.
func TestSecurityPage(t *testing.T) {
	page := markdown.Read(t, "../SECURITY.md").Whole()
	tests := testFunctions(t)
	isTest := regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]`)
	var named []string
	for _, paragraph := range page.Paragraphs() {
		for _, code := range paragraph.Code {
			if isTest.MatchString(code) {
				named = append(named, code)
			}
		}
	}
	for _, named := range named {
		name, row, hasRow := strings.Cut(named, "/")
		literals, there := tests[name]
		if !there || hasRow && !slices.Contains(literals, row) {
			t.Errorf("there is no %s", named)
		}
	}

	rows := attackNames(t)
	var documented []string
	for _, row := range page.Rows("attack") {
		name := row["attack"].Text
		documented = append(documented, name)
		if len(row) != 3 {
			t.Errorf("%d cells: %v", len(row), row)
		}
		if !slices.Contains(rows, name) && !slices.ContainsFunc(slices.Collect(maps.Values(row)), func(cell markdown.Inline) bool {
			return slices.ContainsFunc(cell.Code, isTest.MatchString)
		}) {
			t.Errorf("nothing shows what becomes of %s", name)
		}
	}
	for _, name := range rows {
		if !slices.Contains(documented, name) {
			t.Errorf("the page does not have the row %q of TestAttacks", name)
		}
	}
}

// attackNames returns the names of the rows of TestAttacks.
func attackNames(t *testing.T) (rows []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "e2e", "security_test.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if f, ok := node.(*ast.FuncDecl); ok && f.Name.Name != "knownAttacks" {
			return false
		}
		if pair, ok := node.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "name" {
				if name, ok := stringLiteral(pair.Value); ok {
					rows = append(rows, name)
				}
			}
		}
		return true
	})
	return rows
}

// testFunctions returns the tests, benchmarks and fuzz tests of the repository; for each the strings that are in its file,
// as the name of a test would have them, for its rows are among them.
func testFunctions(t *testing.T) map[string][]string {
	t.Helper()
	functions := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var names, literals []string
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				if node.Recv == nil {
					names = append(names, node.Name.Name)
				}
			case *ast.BasicLit:
				if literal, ok := stringLiteral(node); ok {
					literals = append(literals, strings.ReplaceAll(literal, " ", "_"))
				}
			}
			return true
		})
		for _, name := range names {
			functions[name] = append(functions[name], literals...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return functions
}
