package control

import (
	"regexp"
	"strings"
)

// secretName matches the names of environment variables whose values must not be
// shown, wherever a container may have printed them.
var secretName = regexp.MustCompile(`(?i)secret|passw|token|api_?key|access_?key|credential|private`)

// masker hides the values of a job's secret environment variables.
type masker struct{ values *strings.Replacer }

// shortestSecret keeps values like "1" from masking half a text.
const shortestSecret = 4

func newMasker(environments ...map[string]string) *masker {
	var pairs []string
	for _, env := range environments {
		for name, value := range env {
			if len(value) >= shortestSecret && secretName.MatchString(name) {
				pairs = append(pairs, value, "****")
			}
		}
	}
	return &masker{values: strings.NewReplacer(pairs...)}
}

// text hides what is secret in s.
func (m *masker) text(s string) string { return m.values.Replace(s) }
