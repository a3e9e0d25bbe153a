package control

import (
	"regexp"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
)

// secretName matches the names of environment variables whose values must not be
// shown, wherever a container may have printed them.
var secretName = regexp.MustCompile(`(?i)secret|passw|token|api_?key|access_?key|credential|private`)

// shortestSecret keeps values like "1" from masking half a text.
const shortestSecret = 4

// newMasker hides the values of a job's secret environment variables.
func newMasker(environments ...map[string]string) *joblog.Masker {
	var secrets []string
	for _, env := range environments {
		for name, value := range env {
			if len(value) >= shortestSecret && secretName.MatchString(name) {
				secrets = append(secrets, value)
			}
		}
	}
	return joblog.NewMasker(secrets)
}
