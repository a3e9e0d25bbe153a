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

func read(t *testing.T) *model {
	t.Helper()
	dir, _, err := fetchSDK()
	if err != nil {
		t.Skipf("the module with the model is not at hand: %v", err)
	}
	m, err := readModel(filepath.Join(dir, filepath.FromSlash(modelFile)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is committed is what the generator makes now.
func TestCommittedFilesAreCurrent(t *testing.T) {
	_, version, err := fetchSDK()
	if err != nil {
		t.Skipf("the module with the model is not at hand: %v", err)
	}
	files, err := generate(read(t), served, sdkModule+" "+version)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", "internal", "wire", name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the generator makes (%v); run go generate ./internal/wire", name, err)
		}
	}
}

// The operations of later work generate without a change of the generator.
func TestEndpointOperationsGenerate(t *testing.T) {
	later := []string{
		"CreateEndpointConfig", "DescribeEndpointConfig", "ListEndpointConfigs", "DeleteEndpointConfig",
		"CreateEndpoint", "DescribeEndpoint", "ListEndpoints", "UpdateEndpoint",
		"UpdateEndpointWeightsAndCapacities", "DeleteEndpoint",
		"CreateInferenceComponent", "DescribeInferenceComponent", "ListInferenceComponents",
		"UpdateInferenceComponent", "UpdateInferenceComponentRuntimeConfig", "DeleteInferenceComponent",
	}
	files, err := generate(read(t), slices.Concat(served, later), "test")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := string(files["structs_gen.go"]); !strings.Contains(text, "type ProductionVariant struct") || !strings.Contains(text, "*float32") {
		t.Error("the structs of endpoints are missing")
	}
}

// Facts that the model has already, or that hang in the air, stop the generator.
func TestOverlayMustShrink(t *testing.T) {
	m := read(t)
	if err := m.applyOverlay(); err != nil {
		t.Fatal(err)
	}
	if err := m.applyOverlay(); err == nil {
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
}
