package docs_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// platforms are those whose binaries the table of dependencies is about.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

// licences are the sentences by which the text of a licence is known. A file has every
// licence all of whose sentences are in it, and no licence when it has words that it
// must not have.
var licences = []struct {
	spdx string
	has  []string
	not  string
}{
	{"Apache-2.0", []string{"Apache License Version 2.0, January 2004", "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"}, ""},
	{"Apache-2.0", []string{`Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with the License.`}, ""},
	{"BSD-2-Clause", []string{bsd, "Redistributions in binary form must reproduce the above copyright notice"}, endorse},
	{"BSD-3-Clause", []string{bsd, "Redistributions in binary form must reproduce the above copyright notice", endorse}, ""},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"}, ""},
	{"MIT", []string{
		"Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files",
		"The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software",
	}, ""},
}

const (
	bsd     = "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met"
	endorse = "endorse or promote products derived from this software without specific prior written permission"
)

// licenceFiles are the names of files that hold a licence.
var licenceFiles = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.txt|\.md)?$`)

// The table of modules that are linked into the binary is true: versions, and licences
// by the text of the files in them. A licence that is not known fails.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const page = "docs/dependencies.md"
	linked := map[string]map[string]bool{} // rows without licences, with the folders of their packages
	for _, p := range platforms {
		linkedOn(t, p, linked)
	}
	var b strings.Builder
	b.WriteString("| module | version | licence |\n|---|---|---|\n")
	for _, row := range slices.Sorted(maps.Keys(linked)) {
		fmt.Fprintf(&b, "| %s | %s |\n", row, strings.Join(licencesOf(t, row, slices.Sorted(maps.Keys(linked[row]))), ", "))
	}
	if len(linked) < 10 {
		t.Fatalf("only %d modules are linked", len(linked))
	}
	got := between(t, page, "modules")
	if got == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of modules in %s is not what is linked; go test ./test/docs -run Dependencies -update writes it anew. It should be:\n%s", page, b.String())
	}
	text := strings.Replace(read(t, page), "<!-- modules -->\n"+got, "<!-- modules -->\n"+b.String(), 1)
	check(t, os.WriteFile(filepath.Join(root, page), []byte(text), 0o644))
}

// linkedOn adds the modules of a platform's binary: for each the folders from those of
// its packages up to its own.
func linkedOn(t *testing.T, platform string, linked map[string]map[string]bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/sagebrush")
	system, machine, _ := strings.Cut(platform, "/")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+machine)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 {
			continue // a package of Go's own, or of ours
		}
		row, top, folder := "`"+f[0]+"` | "+f[1], f[2], f[3]
		if linked[row] == nil {
			linked[row] = map[string]bool{}
		}
		for ; strings.HasPrefix(folder, top); folder = filepath.Dir(folder) {
			linked[row][folder] = true
		}
	}
}

// licencesOf reads the licences in folders; there must be one at least.
func licencesOf(t *testing.T, module string, folders []string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		check(t, err)
		for _, e := range entries {
			if e.IsDir() || !licenceFiles.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			check(t, err)
			known := licencesIn(string(text))
			if len(known) == 0 {
				t.Errorf("%s: the licence in %s is not one that is known", module, filepath.Join(folder, e.Name()))
			}
			for _, l := range known {
				found[l] = true
			}
		}
	}
	if len(found) == 0 {
		t.Errorf("%s has no licence", module)
	}
	return slices.Sorted(maps.Keys(found))
}

// licencesIn names the licences in a text, however its lines are broken.
func licencesIn(text string) (all []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range licences {
		lacks := func(sentence string) bool { return !strings.Contains(text, sentence) }
		if !slices.ContainsFunc(l.has, lacks) && (l.not == "" || lacks(l.not)) {
			all = append(all, l.spdx)
		}
	}
	return slices.Compact(all)
}

// What is no licence, or one that is not known, has no name.
func TestLicencesIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     "",
		"MIT License. All rights reserved.":    "",
		"GNU GENERAL PUBLIC LICENSE Version 3": "",
		read(t, "LICENSE"):                     "Apache-2.0",
	} {
		if got := strings.Join(licencesIn(text), ", "); got != want {
			t.Errorf("%.40q is %q, want %q", text, got, want)
		}
	}
}
