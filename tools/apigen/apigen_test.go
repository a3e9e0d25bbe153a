package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, file string) *model {
	t.Helper()
	dir, _, err := fetchSDK()
	if err != nil {
		t.Skipf("the module with the models is not at hand: %v", err)
	}
	m, err := readModel(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is committed is what the generator makes now.
func TestCommittedFilesAreCurrent(t *testing.T) {
	_, version, err := fetchSDK()
	if err != nil {
		t.Skipf("the module with the models is not at hand: %v", err)
	}
	for _, s := range services {
		files, err := generate(read(t, s.model), s, sdkModule+" "+version)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		for name, want := range files {
			got, err := os.ReadFile(filepath.Join("..", "..", "internal", "wire", s.folder, name))
			if err != nil || string(got) != string(want) {
				t.Errorf("%s of %s is not what the generator makes (%v); run go generate ./internal/wire", name, s.name, err)
			}
		}
	}
}

// The operations of later work generate without a change of the generator, in
// services that are there and in new ones.
func TestLaterOperationsGenerate(t *testing.T) {
	more := func(s service, ops ...string) service {
		s.served = slices.Concat(s.served, ops)
		return s
	}
	for _, tt := range []struct {
		s    service
		want []string
	}{
		{more(services[0],
			"CreateInferenceComponent", "DescribeInferenceComponent", "ListInferenceComponents",
			"UpdateInferenceComponent", "UpdateInferenceComponentRuntimeConfig", "DeleteInferenceComponent",
		), []string{"type InferenceComponentSpecification struct", "*float32"}},
		{service{
			name: "Resource Groups Tagging API", folder: "tagging", model: "models/apis/resourcegroupstaggingapi/2017-01-26/api-2.json", invalid: "InvalidParameterException",
			served: []string{"GetResources", "TagResources", "UntagResources"},
		}, []string{"package tagging", `Target:  "ResourceGroupsTaggingAPI_20170126"`, "ResourceTagMapping struct", "PaginationTokenExpiredException"}},
	} {
		t.Run(tt.s.name, func(t *testing.T) {
			files, err := generate(read(t, tt.s.model), tt.s, "test")
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for name, text := range files {
				if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				all.Write(text)
			}
			for _, want := range tt.want {
				if !strings.Contains(all.String(), want) {
					t.Errorf("%s is missing", want)
				}
			}
		})
	}
}

// A model of another protocol is refused before it is misread.
func TestOtherProtocolIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api-2.json")
	if err := os.WriteFile(file, []byte(`{"metadata":{"protocol":"rest-json"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readModel(file); err == nil || !strings.Contains(err.Error(), "rest-json") {
		t.Errorf("got %v", err)
	}
}

// Facts that the model has already, or that hang in the air, stop the generator.
func TestOverlayMustShrink(t *testing.T) {
	m := read(t, services[0].model)
	if err := m.applyOverlay(sageMakerOverlay); err != nil {
		t.Fatal(err)
	}
	if err := m.applyOverlay(sageMakerOverlay); err == nil {
		t.Error("the overlay was applied twice")
	}
	if err := m.addEnums(map[string][]insertion{"Nonesuch": {{values: []string{"x"}}}}); err == nil {
		t.Error("an enum without a shape was accepted")
	}
	if err := m.addEnums(map[string][]insertion{"SplitType": {{after: "Nonesuch", values: []string{"x"}}}}); err == nil {
		t.Error("a value after nothing was accepted")
	}
	if _, err := m.reach([]string{"Nonesuch"}); err == nil {
		t.Error("an unknown operation was accepted")
	}
}

func TestTranslate(t *testing.T) {
	for _, bad := range []string{`(?<!x)y`, `a{1,2000}`, `(`} {
		if _, err := translate(bad); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	for text := range rewrites {
		if _, err := translate(text); err != nil {
			t.Error(err)
		}
	}
	// A dot is any character but Java's five line terminators.
	for _, text := range []string{`.`, `(.)`, `a?.`, `x|.`} {
		p, err := translate(text)
		if err != nil || p.text != text {
			t.Fatalf("%s: %+v, %v", text, p, err)
		}
		re := regexp.MustCompile(`^(?:` + p.expr + `)$`)
		for _, c := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			if re.MatchString(c) {
				t.Errorf("%s matches %q", text, c)
			}
		}
		if !re.MatchString("ü") || !re.MatchString("\t") {
			t.Errorf("%s matches too little", text)
		}
	}
	if p, err := translate(`[\S\s]*\.`); err != nil || p.expr != `[\S\s]*\.` {
		t.Errorf("a pattern without a dot was changed: %+v, %v", p, err)
	}
	// Code points over U+FFFF are two escapes in Java and one in Go.
	p, err := translate(`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*`)
	if err != nil || p.expr != `[\x{20}-\x{d7ff}\x{e000}-\x{fffd}\x{10000}-\x{10ffff}\r\n\t]*` {
		t.Errorf("%+v, %v", p, err)
	}
}
