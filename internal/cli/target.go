package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// target is the server that a client command talks to.
type target struct {
	daemon.Endpoint
	session string // the token of temporary keys, or ""
	source  string // where the address is from, for errors
}

// targetFlags are the flags that choose a server.
type targetFlags struct {
	url, region, data string
}

// add gives a command and those below it the flags.
func (f *targetFlags) add(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.url, "endpoint-url", "", "URL of the server (env AWS_ENDPOINT_URL; else the one that serves --data)")
	flags.StringVar(&f.region, "region", "", "region of the jobs (env AWS_REGION, AWS_DEFAULT_REGION; else the server's)")
	f.addData(cmd)
}

// addData gives a command and those below it --data.
func (f *targetFlags) addData(cmd *cobra.Command) {
	setting := config.Setting{Name: "data"}
	cmd.PersistentFlags().StringVar(&f.data, "data", "", "data folder of a server on this machine (env "+setting.Env()+"; default "+tilde(defaultData())+")")
	_ = cmd.MarkPersistentFlagDirname("data") // the flag exists
}

// defaultData is the data folder of a server that was not given one.
func defaultData() string {
	for _, s := range config.Settings() {
		if s.Name == "data" {
			return s.Default.(string)
		}
	}
	return ""
}

// tilde writes ~ for the home folder, so that help is the same for everybody.
func tilde(path string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(path, home+"/"); err == nil && ok {
		return "~/" + rest
	}
	return path
}

// anonymous signs requests to a server whose keys are not known: one that is open
// to any key accepts it, and the signature carries the region.
const anonymous = "sagebrush"

// target finds the server: by flag, by the AWS environment, or by what the server
// on this machine wrote into its data folder. Address and keys are taken from one
// place, so that keys are never used with a server that they are not meant for.
func (a *app) target(f targetFlags) (target, error) {
	t := target{source: "--endpoint-url"}
	t.URL = f.url
	for _, name := range []string{"AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL"} {
		if t.URL == "" {
			t.URL, t.source = a.getenv(name), name
		}
	}
	local, err := a.local(f.data)
	switch {
	case t.URL == "" && err != nil:
		return t, err
	case t.URL == "":
		t.Endpoint, t.source = local, filepath.Join(a.data(f.data), daemon.EndpointFile)
	case a.getenv("AWS_ACCESS_KEY_ID") != "":
		t.AccessKeyID, t.SecretAccessKey, t.session = a.getenv("AWS_ACCESS_KEY_ID"), a.getenv("AWS_SECRET_ACCESS_KEY"), a.getenv("AWS_SESSION_TOKEN")
	case err == nil && strings.TrimSuffix(t.URL, "/") == local.URL:
		t.Credentials, t.Region = local.Credentials, local.Region
	default:
		t.AccessKeyID, t.SecretAccessKey = anonymous, anonymous
	}
	t.CABundle = cmp.Or(a.getenv("AWS_CA_BUNDLE"), t.CABundle)
	t.URL = strings.TrimSuffix(t.URL, "/")
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return t, usage("%s is %q, and must be a URL such as http://127.0.0.1:7243", t.source, t.URL)
	}
	t.Region = cmp.Or(f.region, a.getenv("AWS_REGION"), a.getenv("AWS_DEFAULT_REGION"), t.Region, "us-east-1")
	return t, nil
}

// data is the data folder by flag, environment or default.
func (a *app) data(flag string) string {
	return cmp.Or(flag, a.getenv(config.Setting{Name: "data"}.Env()), defaultData())
}

// local reads what the server of a data folder wrote about itself.
func (a *app) local(flag string) (e daemon.Endpoint, err error) {
	path := filepath.Join(a.data(flag), daemon.EndpointFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, failed(exitUnreachable, "no server has run with the data folder %s", a.data(flag)).because(err).
			hint("start one with: sagebrush serve").hint("or name one with --endpoint-url URL, AWS_ENDPOINT_URL or --data DIR")
	}
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return e, failed(exitFailed, "%s cannot be read: %v", path, err).because(err)
	}
	return e, nil
}

// connect makes a client of the server that the flags choose.
func (a *app) connect(f targetFlags) (*client, error) {
	t, err := a.target(f)
	if err != nil {
		return nil, err
	}
	return newClient(t), nil
}
