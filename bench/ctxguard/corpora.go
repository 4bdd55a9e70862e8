package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	gosec = "github.com/securego/gosec/v2@v2.29.0"
	nats  = "github.com/nats-io/nats-server/v2@v2.15.3"
)

// download has the go command put a module into its cache and returns where it lies.
func download(ctx context.Context, dir, module string) (string, error) {
	out, err := output(ctx, dir, "go", "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		return "", err
	}
	return m.Dir, nil
}

// samples judges the programs that gosec tests its rule G118 with: each says how many findings it deserves.
func (b *bench) samples(ctx context.Context) error {
	dir, err := download(ctx, b.root, gosec)
	if err != nil {
		return err
	}
	files, bad, good, err := samplePrograms(filepath.Join(dir, "testutils", "g118_samples.go"))
	if err != nil {
		return err
	}
	files["go.mod"] = "module samples\n\ngo 1.26\n"
	scratch, err := b.module("samples", files)
	if err != nil {
		return err
	}
	ours, err := b.vet(ctx, scratch, b.binary, "./...")
	if err != nil {
		return err
	}
	base, err := b.vet(ctx, scratch, "", "-lostcancel", "./...")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "gosec G118 samples (%s): %d bad programs, %d good\n", gosec, bad, good)
	found, wrong := programs(ours, "bad"), programs(ours, "good")
	b.row("bad ones found", fmt.Sprintf("%d of %d", len(found), bad), len(found) >= 45, ">= 45 of 49; go vet "+strconv.Itoa(len(programs(base, "bad"))))
	b.row("good ones found", fmt.Sprintf("%d of %d", len(wrong), good), len(wrong) == 0, "0; go vet "+strconv.Itoa(len(programs(base, "good"))))
	return nil
}

// programs are the directories with a prefix that findings lie in.
func programs(found []finding, prefix string) []string {
	var out []string
	for _, f := range found {
		if d := filepath.Base(filepath.Dir(f.file)); strings.HasPrefix(d, prefix) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// samplePrograms reads the programs out of gosec's source: composite literals of the sources, the number of findings and a configuration.
func samplePrograms(file string) (files map[string]string, bad, good int, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return nil, 0, 0, err
	}
	files = map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || len(lit.Elts) != 3 {
			return true
		}
		sources, ok := lit.Elts[0].(*ast.CompositeLit)
		count, isLit := lit.Elts[1].(*ast.BasicLit)
		if !ok || !isLit {
			return true
		}
		name := fmt.Sprintf("bad%03d", bad+good)
		if count.Value == "0" {
			name = fmt.Sprintf("good%03d", bad+good)
			good++
		} else {
			bad++
		}
		for i, s := range sources.Elts {
			text, err := strconv.Unquote(s.(*ast.BasicLit).Value)
			if err == nil {
				files[fmt.Sprintf("%s/file%d.go", name, i)] = text
			}
		}
		return false
	})
	if bad+good == 0 {
		return nil, 0, 0, fmt.Errorf("no programs in %s", file)
	}
	return files, bad, good, nil
}

// causes says which analyzer names the cause of which kernel. Findings that hit a kernel for another reason do not count.
var causes = map[string]string{
	"cockroach10214": "lockorder", "cockroach13197": "release", "cockroach25456": "chanleak", "cockroach584": "release", "cockroach6181": "lockorder", "cockroach7504": "lockorder",
	"cockroach9935": "lockorder", "etcd5509": "release", "etcd6873": "lockorder", "grpc1275": "chanleak", "grpc1424": "chanleak", "grpc1460": "lockorder", "grpc3017": "release",
	"grpc660": "chanleak", "grpc795": "lockorder", "kubernetes10182": "lockorder", "kubernetes1321": "chanleak", "kubernetes25331": "chanleak", "kubernetes5316": "chanleak",
	"kubernetes62464": "lockorder", "moby17176": "release", "moby25384": "groupwait", "moby30408": "chanleak", "moby33781": "chanleak", "moby36114": "lockorder", "moby7559": "release",
	"syncthing4829": "lockorder",
}

func (b *bench) kernelDir() string {
	return filepath.Join(b.goroot, "src", "runtime", "testdata", "testgoroutineleakprofile", "goker")
}

// kernels judges the bugs that Go tests its leak profile with, where they lie in GOROOT, and the mended forms of twenty of them.
func (b *bench) kernels(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(b.kernelDir(), "*.go"))
	if err != nil || len(files) < 2 {
		return fmt.Errorf("no kernels in %s: %w", b.kernelDir(), err)
	}
	ours, err := b.vet(ctx, b.kernelDir(), b.binary, ".")
	if err != nil {
		return err
	}
	base, err := b.vet(ctx, b.kernelDir(), "", ".")
	if err != nil {
		return err
	}
	found, byVet := map[string]bool{}, map[string]bool{}
	for _, f := range ours {
		if name := strings.TrimSuffix(filepath.Base(f.file), ".go"); causes[name] == f.analyzer {
			found[name] = true
		}
	}
	for _, f := range base {
		byVet[filepath.Base(f.file)] = true
	}
	mended, err := b.copied("kernels")
	if err != nil {
		return err
	}
	wrong, err := b.vet(ctx, mended, b.binary, "./kernels")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "GOROOT's goker kernels: %d\n", len(files)-1)
	b.row("found, with the cause", fmt.Sprintf("%d of %d", len(found), len(files)-1), len(found) >= 23, fmt.Sprintf(">= 23 of 63; go vet %d", len(byVet)))
	b.row("findings in the mended forms of 20", strconv.Itoa(len(wrong)), len(wrong) <= 2, "<= 2")
	return nil
}

// copied makes a module of packages of the analyzers' testdata, with the packages that they import.
func (b *bench) copied(packages ...string) (string, error) {
	src := filepath.Join(b.root, "ctxguard", "analyzers", "testdata", "src")
	files := map[string]string{
		"go.mod": "module copied\n\ngo 1.26\n\nrequire (\n\tgithub.com/jackc/pgx/v5 v5.0.0\n\tgolang.org/x/sync v0.0.0\n)\n\n" +
			"replace (\n\tgithub.com/jackc/pgx/v5 => ./stubs/github.com/jackc/pgx/v5\n\tgolang.org/x/sync => ./stubs/golang.org/x/sync\n)\n",
		"stubs/github.com/jackc/pgx/v5/go.mod": "module github.com/jackc/pgx/v5\n\ngo 1.26\n",
		"stubs/golang.org/x/sync/go.mod":       "module golang.org/x/sync\n\ngo 1.26\n",
	}
	add := func(from, to string) error {
		return filepath.WalkDir(filepath.Join(src, from), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			rel, _ := filepath.Rel(filepath.Join(src, from), path)
			files[filepath.ToSlash(filepath.Join(to, rel))] = string(text)
			return err
		})
	}
	for _, p := range packages {
		if err := add(p, p); err != nil {
			return "", err
		}
	}
	for _, p := range []string{"github.com/jackc/pgx/v5", "golang.org/x/sync"} {
		if err := add(p, "stubs/"+p); err != nil {
			return "", err
		}
	}
	return b.module("copied-"+packages[0], files)
}

var shapeName = regexp.MustCompile(`(?i)(leak|mend)(\d\d)`)

// shapes judges the list of 83 shapes, each with its mended form.
func (b *bench) shapes(ctx context.Context) error {
	dir, err := b.copied("shapes")
	if err != nil {
		return err
	}
	ours, err := b.vet(ctx, dir, b.binary, "./shapes")
	if err != nil {
		return err
	}
	base, err := b.vet(ctx, dir, "", "./shapes")
	if err != nil {
		return err
	}
	leaking, mended, err := shapesOf(ours)
	if err != nil {
		return err
	}
	byVet, _, err := shapesOf(base)
	if err != nil {
		return err
	}
	fmt.Fprintln(b.out, "83 shapes, each leaking and mended")
	b.row("leaking ones found", fmt.Sprintf("%d of 83", len(leaking)), len(leaking) >= 75, fmt.Sprintf(">= 75; go vet %d", len(byVet)))
	b.row("mended ones found", strconv.Itoa(len(mended)), len(mended) <= 2, "<= 2")
	return nil
}

// shapesOf are the shapes whose declarations findings lie in.
func shapesOf(found []finding) (leaking, mended map[string]bool, err error) {
	leaking, mended = map[string]bool{}, map[string]bool{}
	fset := token.NewFileSet()
	parsed := map[string]*ast.File{}
	for _, f := range found {
		if parsed[f.file] == nil {
			if parsed[f.file], err = parser.ParseFile(fset, f.file, nil, 0); err != nil {
				return nil, nil, err
			}
		}
		for _, d := range parsed[f.file].Decls {
			if first, last := fset.Position(d.Pos()).Line, fset.Position(d.End()).Line; f.line < first || f.line > last {
				continue
			}
			m := shapeName.FindStringSubmatch(declared(d))
			if m == nil {
				continue
			}
			if strings.EqualFold(m[1], "leak") {
				leaking[m[2]] = true
			} else {
				mended[m[2]] = true
			}
		}
	}
	return leaking, mended, nil
}

// declared is what a declaration names, with the receiver's type behind it.
func declared(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		t := d.Recv.List[0].Type
		if p, ok := t.(*ast.StarExpr); ok {
			t = p.X
		}
		return d.Name.Name + " " + fmt.Sprint(t)
	case *ast.GenDecl:
		if v, ok := d.Specs[0].(*ast.ValueSpec); ok {
			return v.Names[0].Name
		}
	}
	return ""
}
