package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// shells are the languages that env speaks, sh being bash's and zsh's too.
var shells = []string{"sh", "fish", "powershell"}

// environment is the command env.
func (a *app) environment() *cobra.Command {
	var f targetFlags
	var shell string
	cmd := &cobra.Command{
		Use:     "env",
		GroupID: "server",
		Short:   "Print the variables that point AWS tools at the server",
		Long: `Print the variables that point the AWS CLI and SDKs at the server of this machine.
They are those of the server that last ran with the data folder, whether it runs now or not.`,
		Example: `  eval "$(sagebrush env)"
  sagebrush env --shell fish | source
  sagebrush env --shell powershell | Out-String | Invoke-Expression`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkShell(shell); err != nil {
				return err
			}
			e, err := a.local(f.data)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(maps.Collect(variables(e)))
			}
			_, err = fmt.Fprint(a.Stdout, exports(e, shell))
			return err
		},
	}
	f.addData(cmd)
	shellFlag(cmd, &shell)
	return cmd
}

// shellFlag gives a command --shell, for the language of what it prints.
func shellFlag(cmd *cobra.Command, shell *string) {
	cmd.Flags().StringVar(shell, "shell", "sh", "language of the lines: "+strings.Join(shells, ", "))
	complete(cmd, "shell", shells...)
}

func checkShell(shell string) error {
	if !slices.Contains(shells, shell) {
		return usage("--shell is %q, and may be %s", shell, strings.Join(shells, ", "))
	}
	return nil
}

// variables gives the AWS variables for a server, in the order to print them.
func variables(e daemon.Endpoint) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for _, v := range [][2]string{
			{"AWS_ENDPOINT_URL", e.URL},
			{"AWS_ACCESS_KEY_ID", e.AccessKeyID},
			{"AWS_SECRET_ACCESS_KEY", e.SecretAccessKey},
			{"AWS_DEFAULT_REGION", e.Region},
			{"AWS_CA_BUNDLE", e.CABundle},
		} {
			if v[1] != "" && !yield(v[0], v[1]) {
				return
			}
		}
	}
}

// exports writes the variables as lines of a shell.
func exports(e daemon.Endpoint, shell string) string {
	var b strings.Builder
	for name, value := range variables(e) {
		switch shell {
		case "fish":
			fmt.Fprintf(&b, "set -gx %s %s\n", name, quote(value, `\'`))
		case "powershell":
			fmt.Fprintf(&b, "$env:%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
		default:
			fmt.Fprintf(&b, "export %s=%s\n", name, quote(value, `'\''`))
		}
	}
	return b.String()
}

// quote puts a word in quotes when a shell would read more into it; inner is how
// that shell writes a quote within quotes.
func quote(word, inner string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:/+@%,=", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", inner) + "'"
}
