// Package docs_test holds the documentation to its word: it runs the commands in
// the README, in SECURITY.md and in docs/, and compares tables with the code that they describe.
//
// What a fenced block is for is told by its language and by a comment on the line
// above it:
//
//	sh, python                 run, in the order of the page
//	<!-- not run: reason -->   the next sh or python block is not run
//	<!-- file: name -->        the next block is put into a file of that name
//	<!-- output -->            the block before printed these lines; ... is any text
//	yaml                       read as a configuration file, unless it is put into another
//	json                       parsed
//	text                       nothing
package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the repository's top folder as seen from here.
const root = "../.."

// block is a fenced block of a page.
type block struct {
	line  int // of the fence
	lang  string
	note  string // the comment above it, without its marks
	lines []string
}

// text is the block's content.
func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// word gives what follows a key in the note, such as the name in "file: name".
func (b block) word(key string) (string, bool) {
	rest, ok := strings.CutPrefix(b.note, key+":")
	return strings.TrimSpace(rest), ok
}

// name is the block's name as a test.
func (b block) name() string { return "line" + strconv.Itoa(b.line) }

// pages names the pages, from the top folder.
func pages(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(found) < 5 {
		t.Fatalf("%d pages in docs: %v", len(found), err)
	}
	names := []string{"README.md", "SECURITY.md"}
	for _, path := range found {
		names = append(names, "docs/"+filepath.Base(path))
	}
	return names
}

// read gives the text of a file of the repository.
func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blocks gives the fenced blocks of a page.
func blocks(t testing.TB, page string) []block {
	t.Helper()
	var found []block
	var open *block
	above := ""
	for i, line := range strings.Split(read(t, page), "\n") {
		fence, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fenced && open == nil:
			open = &block{line: i + 1, lang: fence, note: comment(above)}
		case fenced:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
		above = line
	}
	if open != nil {
		t.Fatalf("%s: the block at line %d has no end", page, open.line)
	}
	return found
}

// comment gives the text of an HTML comment that is a line of its own, or "".
func comment(line string) string {
	text, ok := strings.CutPrefix(strings.TrimSpace(line), "<!--")
	if !ok || !strings.HasSuffix(text, "-->") {
		return ""
	}
	return strings.TrimSpace(strings.TrimSuffix(text, "-->"))
}

// Every block has a language and a note that the tests know: one that they do not
// know would silently not be run.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		var last block
		for _, b := range blocks(t, page) {
			if !slices.Contains([]string{"sh", "python", "yaml", "json", "text"}, b.lang) {
				t.Errorf("%s:%d: a block of the language %q", page, b.line, b.lang)
			}
			reason, skipped := b.word("not run")
			file, isFile := b.word("file")
			switch {
			case skipped && reason == "", isFile && file == "":
				t.Errorf("%s:%d: the note %q lacks its word", page, b.line, b.note)
			case b.note == "output" && (b.lang != "text" || last.lang != "sh" && last.lang != "python"):
				t.Errorf("%s:%d: output is a text block behind one that is run", page, b.line)
			case b.note != "" && !skipped && !isFile && b.note != "output":
				t.Errorf("%s:%d: the note %q is not one that is known", page, b.line, b.note)
			}
			last = b
		}
	}
}

// What the pages leave to CI is in .ci/run.
func TestCIRuns(t *testing.T) {
	t.Parallel()
	script := read(t, ".ci/run")
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if why, _ := b.word("not run"); !strings.HasPrefix(why, "CI runs") {
				continue
			}
			for target, command := range map[string]string{"make demo": "sagebrush demo", "make test": "make test"} {
				if strings.Contains(b.text(), target) && !strings.Contains(script, command) {
					t.Errorf("%s:%d: .ci/run does not run %s", page, b.line, command)
				}
			}
		}
	}
}
