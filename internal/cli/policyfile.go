package cli

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
)

// policyFlag gives a command --policy.
func policyFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVar(files, "policy", nil, "file of an IAM policy document in JSON, whose name without .json is the policy's; - is standard input; may be repeated")
	_ = cmd.MarkFlagFilename("policy", "json") // the flag exists
}

// policyNames are the names that policies may have, as in IAM.
var policyNames = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// stdinPolicy is the name of the policy that comes on standard input.
const stdinPolicy = "policy"

// readPolicies reads policy documents. What is wrong with one is said before anything
// is asked of a server, with its file and the place in it.
func readPolicies(cmd *cobra.Command, files []string) (all []api.Policy, err error) {
	from := map[string]string{} // the file of each name
	for _, file := range files {
		p, err := readPolicy(cmd, file)
		if err != nil {
			return nil, err
		}
		if other, taken := from[p.Name]; taken {
			return nil, usage("the policies of %s and %s would both have the name %s", other, file, p.Name)
		}
		from[p.Name] = file
		all = append(all, p)
	}
	return all, nil
}

func readPolicy(cmd *cobra.Command, file string) (p api.Policy, err error) {
	in, where := cmd.InOrStdin(), "standard input"
	p.Name = stdinPolicy
	if file != "-" {
		where = file
		base := filepath.Base(file)
		if p.Name = base; filepath.Ext(base) == ".json" {
			p.Name = base[:len(base)-len(".json")]
		}
		if !policyNames.MatchString(p.Name) {
			return p, usage("the policy of the file %s would have the name %q, and a policy's name has 1 to 64 letters, digits and characters of _+=,.@-", file, p.Name)
		}
		f, err := os.Open(file)
		if err != nil {
			return p, usage("the policy cannot be read: %v", err).because(err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxDocument+1))
	if err != nil {
		return p, failed(exitFailed, "the policy in %s cannot be read: %v", where, err).because(err)
	}
	if _, err := policy.Parse(where, string(text), identity.ConditionKeys()); err != nil {
		return p, usage("%s", fault.TextOf(err)).because(err).hint(`a policy looks like {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`)
	}
	p.Document = json.RawMessage(text)
	return p, nil
}
