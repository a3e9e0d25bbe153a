package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// adminKeys is the command that holds those about access keys.
func (a *app) adminKeys(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, rotate and revoke the access keys of users",
		Long: `Manage the access keys of users. A user has two at the most, the one in use and its successor.
The secret of a key is printed when the key is made, and can never be had again. A key that is
revoked or switched off is refused from the next request on.`,
		Example: `  eval "$(sagebrush admin keys create alice)"
  sagebrush admin keys list --user alice
  sagebrush admin keys rotate AKIAIOSFODNN7EXAMPLE --grace 48h`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keysList(f), a.keysCreate(f), a.keysRotate(f),
		a.keysSwitch(f, "deactivate", "Inactive", `Switch an access key off: it is refused from now on, and "activate" switches it on again.`),
		a.keysSwitch(f, "activate", "Active", `Switch an access key on again that "deactivate" has switched off.`), a.keysRevoke(f))
	return cmd
}

// keysHint is what to do about a key that is not there.
const keysHint = "sagebrush admin keys list shows the access keys"

// keyPath is where the server's own paths have an access key.
func keyPath(id string) string { return "keys/" + url.PathEscape(id) }

// accessKeys lists the keys of a user, or all for "".
func (c *client) accessKeys(ctx context.Context, user string) ([]api.AccessKey, error) {
	path := "keys"
	if user != "" {
		path = "users/" + url.PathEscape(user) + "/keys"
	}
	var answer struct {
		AccessKeys []api.AccessKey `json:"accessKeys"`
	}
	err := c.own(ctx, path, &answer)
	return answer.AccessKeys, err
}

// keysList is the command that lists access keys.
func (a *app) keysList(f *targetFlags) *cobra.Command {
	user := ""
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List access keys",
		Long:  "List the access keys of all users, or of one. Their secrets are not told.",
		Example: `  sagebrush admin keys list
  sagebrush admin keys list --user alice --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withServer(cmd, f, family{many: "users"}.hint(), func(ctx context.Context, c *client) error {
				all, err := c.accessKeys(ctx, user)
				if err != nil {
					return err
				}
				return a.printKeys(all)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "only the keys of this user")
	return cmd
}

func (a *app) printKeys(all []api.AccessKey) error {
	if a.json {
		return a.printJSON(map[string]any{"accessKeys": all})
	}
	if len(all) == 0 {
		a.err.line("no access keys")
		return nil
	}
	rows := [][]string{{"ACCESS KEY", "USER", "STATUS", "CREATED", "EXPIRES"}}
	for _, k := range all {
		expires := "-"
		if k.Expires != nil {
			expires = moment(*k.Expires)
		}
		rows = append(rows, []string{k.ID, k.User, k.Status, moment(k.Created), expires})
	}
	_, err := fmt.Fprint(a.Stdout, table(rows, nil))
	return err
}

// keysCreate is the command that makes an access key.
func (a *app) keysCreate(f *targetFlags) *cobra.Command {
	shell := ""
	cmd := &cobra.Command{
		Use:   "create USER",
		Short: "Make an access key for a user",
		Long: `Make an access key for a user, and print it as the lines that point AWS tools at it, as
"sagebrush env" does. This is the only time that its secret is told.`,
		Example: `  sagebrush admin keys create alice > alice.env
  eval "$(sagebrush admin keys create alice)"
  sagebrush admin keys create alice --json`,
	}
	shellFlag(cmd, &shell)
	a.familyCommand(cmd, family{one: "user", many: "users", f: f}, func(ctx context.Context, c *client, user string) error {
		if err := checkShell(shell); err != nil {
			return err
		}
		var k api.NewAccessKey
		if err := c.ownDo(ctx, http.MethodPost, "users/"+url.PathEscape(user)+"/keys", &k); err != nil {
			return err
		}
		return a.printKey(k, shell)
	})
	return cmd
}

// printKey prints a new key.
func (a *app) printKey(k api.NewAccessKey, shell string) error {
	if a.json {
		return a.printJSON(k)
	}
	_, err := fmt.Fprint(a.Stdout, exports(daemon.Endpoint{Credentials: daemon.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}}, shell))
	return err
}

// keyCommand completes a command that takes the id of an access key.
func (a *app) keyCommand(cmd *cobra.Command, f *targetFlags, run func(ctx context.Context, c *client, id string) error) *cobra.Command {
	cmd.Args = oneArg("the id of an access key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withServer(cmd, f, keysHint, func(ctx context.Context, c *client) error { return run(ctx, c, args[0]) })
	}
	a.completeNames(cmd, f, func(ctx context.Context, c *client) (names []string) {
		all, _ := c.accessKeys(ctx, "") // none is offered when they are not to be had
		for _, k := range all {
			names = append(names, k.ID+"\t"+k.User)
		}
		return names
	})
	return cmd
}

// keysRotate is the command that replaces an access key.
func (a *app) keysRotate(f *targetFlags) *cobra.Command {
	var grace time.Duration
	shell, mostGrace := "", fmt.Sprintf("%dh", api.MaxGrace/time.Hour)
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Replace an access key by a new one",
		Long: `Give the user of an access key a new one, and print it as "create" does. The old one is good for
the grace time still, so that nobody is locked out while the new one is put in place; without
grace it ends at once. A key that was rotated before must have ended first.`,
		Example: `  sagebrush admin keys rotate AKIAIOSFODNN7EXAMPLE > alice.env
  sagebrush admin keys rotate AKIAIOSFODNN7EXAMPLE --grace 0s --json`,
	}
	cmd.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old key is good still, up to "+mostGrace)
	shellFlag(cmd, &shell)
	return a.keyCommand(cmd, f, func(ctx context.Context, c *client, id string) error {
		if err := checkShell(shell); err != nil {
			return err
		}
		if grace < 0 || grace > api.MaxGrace || grace%time.Second != 0 {
			return usage("--grace is %s, and may be whole seconds from 0s to %s", grace, mostGrace)
		}
		var k api.NewAccessKey
		if err := c.ownSend(ctx, http.MethodPost, keyPath(id)+"/rotate", api.Rotation{GraceSeconds: int64(grace / time.Second)}, &k); err != nil {
			return err
		}
		if err := a.printKey(k, shell); err != nil {
			return err
		}
		if k.Until != nil && grace > 0 {
			a.err.linef("%s is good until %s", id, moment(*k.Until))
		}
		a.remarkOwnKey(c, id)
		return nil
	})
}

// remarkOwnKey says so when the key that a command ended is the one that it called
// with: what it came from has it still.
func (a *app) remarkOwnKey(c *client, id string) {
	if c.AccessKeyID == id {
		a.err.line("this command itself called with that key: whoever else does needs another one, and so does the file or the variable that it is from")
	}
}

// keysSwitch is the command that switches an access key on or off.
func (a *app) keysSwitch(f *targetFlags, verb, status, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     verb + " KEY",
		Short:   strings.ToUpper(verb[:1]) + verb[1:] + " an access key",
		Long:    long,
		Example: "  sagebrush admin keys " + verb + " AKIAIOSFODNN7EXAMPLE",
	}
	return a.keyCommand(cmd, f, func(ctx context.Context, c *client, id string) error {
		var answer map[string]string
		if err := c.ownDo(ctx, http.MethodPost, keyPath(id)+"/"+verb, &answer); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(answer)
		}
		a.out.linef("%s is %s", id, status)
		if verb == "deactivate" {
			a.remarkOwnKey(c, id)
		}
		return nil
	})
}

// keysRevoke is the command that removes an access key.
func (a *app) keysRevoke(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Remove an access key for ever",
		Long: `Remove an access key for ever: it is refused from the next request on, and so are the sessions
that GetSessionToken has begun with it. The last one of the last user who can let others in is
not removed.`,
		Example: "  sagebrush admin keys revoke AKIAIOSFODNN7EXAMPLE",
	}
	return a.keyCommand(cmd, f, func(ctx context.Context, c *client, id string) error {
		var answer map[string]string
		if err := c.ownDo(ctx, http.MethodDelete, keyPath(id), &answer); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(answer)
		}
		a.out.linef("%s is revoked", id)
		a.remarkOwnKey(c, id)
		return nil
	})
}
