package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
)

// family is users or roles, for the commands that both have.
type family struct {
	one, many string
	example   string // a name for the help
	f         *targetFlags
}

// path is where the server's own paths have a user or a role.
func (k family) path(name string) string { return k.many + "/" + url.PathEscape(name) }

// hint is what to do about one that is not there.
func (k family) hint() string { return "sagebrush admin " + k.many + " list shows the " + k.many }

// adminUsers is the command that holds those about users.
func (a *app) adminUsers(f *targetFlags) *cobra.Command {
	k := family{one: "user", many: "users", example: "alice", f: f}
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Say who may call the server, and what they may do",
		Long: `Manage the users of a server. A user calls it with access keys, which "sagebrush admin keys"
makes, and may do what its policies say: documents as IAM has them. A new user has none of
either. The last user who can let others in is not taken away.`,
		Example: `  sagebrush admin users create alice --policy reader.json
  sagebrush admin keys create alice`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.familyList(k), a.familyCreate(k), a.familyDelete(k), a.familyPolicies(k))
	return cmd
}

// adminRoles is the command that holds those about roles.
func (a *app) adminRoles(f *targetFlags) *cobra.Command {
	k := family{one: "role", many: "roles", example: "scorer", f: f}
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "Say what jobs and endpoints may read and write",
		Long: `Manage the roles of a server. A model names one in ExecutionRoleArn, and what runs of it reads
and writes with the rights of the role's policies. Users may also assume a role with AssumeRole
of STS, if their policies allow sts:AssumeRole on it.`,
		Example: `  sagebrush admin roles create scorer --policy scorer-data.json
  sagebrush admin roles end-sessions scorer`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.familyList(k), a.familyCreate(k), a.familyDelete(k), a.familyPolicies(k), a.endSessions(k))
	return cmd
}

// familyList is the command that lists users or roles.
func (a *app) familyList(k family) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the " + k.many,
		Long:    fmt.Sprintf("List the %s of a server with the names of their policies.", k.many),
		Example: "  sagebrush admin " + k.many + " list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withServer(cmd, k.f, "", func(ctx context.Context, c *client) error {
				all, err := c.identities(ctx, k)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{k.many: all})
				}
				if len(all) == 0 {
					a.err.line("no " + k.many)
					return nil
				}
				rows := [][]string{{"NAME", "CREATED", "POLICIES"}}
				for _, i := range all {
					rows = append(rows, []string{i.Name, moment(i.Created), policyList(i.Policies)})
				}
				_, err = fmt.Fprint(a.Stdout, table(rows, nil))
				return err
			})
		},
	}
}

// identities lists users or roles.
func (c *client) identities(ctx context.Context, k family) ([]api.Identity, error) {
	answer := map[string][]api.Identity{}
	err := c.own(ctx, k.many, &answer)
	return answer[k.many], err
}

// policyList names policies in a line.
func policyList(all []api.Policy) string {
	if len(all) == 0 {
		return "-"
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// familyCommand completes a command that takes the name of a user or a role.
func (a *app) familyCommand(cmd *cobra.Command, k family, run func(ctx context.Context, c *client, name string) error) *cobra.Command {
	cmd.Args = oneArg("the name of a " + k.one)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withServer(cmd, k.f, k.hint(), func(ctx context.Context, c *client) error { return run(ctx, c, args[0]) })
	}
	a.completeNames(cmd, k.f, func(ctx context.Context, c *client) (names []string) {
		all, _ := c.identities(ctx, k) // none is offered when they are not to be had
		for _, i := range all {
			names = append(names, i.Name)
		}
		return names
	})
	return cmd
}

// familyCreate is the command that makes a user or a role.
func (a *app) familyCreate(k family) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a " + k.one,
		Long: fmt.Sprintf(`Make a %s, with the policies of files. A policy is a JSON document as IAM has it; what the
server cannot heed in one is refused, and nothing is made then. A %s without a policy may do
nothing.`, k.one, k.one),
		Example: fmt.Sprintf("  sagebrush admin %[1]s create %[2]s --policy reader.json --policy team.json\n"+
			"  sagebrush admin %[1]s create %[2]s --policy - < reader.json", k.many, k.example),
	}
	policyFlag(cmd, &files)
	return a.familyCommand(cmd, k, func(ctx context.Context, c *client, name string) error {
		docs, err := readPolicies(cmd, files)
		if err != nil {
			return err
		}
		var made api.Identity
		if err := c.ownSend(ctx, http.MethodPost, k.path(name), api.Policies{Policies: docs}, &made); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(made)
		}
		a.out.linef("%s is created, with the policies: %s", made.ARN, policyList(made.Policies))
		if k.one == "user" {
			a.err.linef("hint: sagebrush admin keys create %s gives it an access key", name)
		}
		return nil
	})
}

// familyDelete is the command that deletes a user or a role.
func (a *app) familyDelete(k family) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a " + k.one,
		Long: `Delete a user with its access keys: requests with them are refused at once. The last user who
can let others in is not deleted.`,
		Example: fmt.Sprintf("  sagebrush admin %s delete %s", k.many, k.example),
	}
	if k.one == "role" {
		cmd.Long = `Delete a role with its sessions. A job or an endpoint whose model names it loses its rights at
once, also while it runs.`
	}
	return a.familyCommand(cmd, k, func(ctx context.Context, c *client, name string) error {
		var answer map[string]string
		if err := c.ownDo(ctx, http.MethodDelete, k.path(name), &answer); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(answer)
		}
		a.out.linef("the %s %s is deleted", k.one, name)
		return nil
	})
}

// familyPolicies is the command that shows and replaces policies.
func (a *app) familyPolicies(k family) *cobra.Command {
	var files []string
	none := false
	cmd := &cobra.Command{
		Use:   "policies NAME",
		Short: "Show or replace the policies of a " + k.one,
		Long: fmt.Sprintf(`Show the policies of a %s with their documents. With --policy they become those of the files,
all of them, and with --none there are none. The change holds from the next request on.`, k.one),
		Example: fmt.Sprintf("  sagebrush admin %[1]s policies %[2]s\n  sagebrush admin %[1]s policies %[2]s --policy reader.json --policy team.json", k.many, k.example),
	}
	policyFlag(cmd, &files)
	cmd.Flags().BoolVar(&none, "none", false, "take all policies away")
	return a.familyCommand(cmd, k, func(ctx context.Context, c *client, name string) error {
		var now api.Identity
		if len(files) > 0 && none {
			return usage("%s is given both --policy and --none", cmd.CommandPath()).hint("%s --help", cmd.CommandPath())
		}
		if len(files) == 0 && !none {
			if err := c.own(ctx, k.path(name), &now); err != nil {
				return err
			}
			return a.printPolicies(now)
		}
		docs, err := readPolicies(cmd, files)
		if err != nil {
			return err
		}
		if err := c.ownSend(ctx, http.MethodPut, k.path(name)+"/policies", api.Policies{Policies: docs}, &now); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(now)
		}
		a.out.linef("the %s %s has the policies: %s", k.one, name, policyList(now.Policies))
		return nil
	})
}

// printPolicies prints the documents of a user or a role.
func (a *app) printPolicies(i api.Identity) error {
	if a.json {
		return a.printJSON(i)
	}
	if len(i.Policies) == 0 {
		a.err.line("no policies")
	}
	for _, p := range i.Policies {
		var text bytes.Buffer
		if err := json.Indent(&text, p.Document, "", "  "); err != nil {
			return err
		}
		a.out.linef("%s:\n%s", p.Name, text.String())
	}
	return nil
}

// endSessions is the command that ends the sessions of a role.
func (a *app) endSessions(k family) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "end-sessions NAME",
		Short: "End every session of a role that has begun",
		Long: `End every session of a role that AssumeRole has begun: its keys are refused from now on. Who may
assume the role can begin another one. Jobs and endpoints go on.`,
		Example: "  sagebrush admin roles end-sessions scorer",
	}
	return a.familyCommand(cmd, k, func(ctx context.Context, c *client, name string) error {
		var now api.Identity
		if err := c.ownDo(ctx, http.MethodPost, k.path(name)+"/end-sessions", &now); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(now)
		}
		a.out.linef("the sessions of the role %s have ended", name)
		return nil
	})
}
