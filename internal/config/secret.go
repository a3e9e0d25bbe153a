package config

// Secrets are settings that only the environment can hold: other users of the
// machine see the command line, and files are copied and committed.
type Secrets struct {
	// MasterKey is the master key in base64; MasterPassphrase is stretched to one.
	MasterKey, MasterPassphrase string
	// FormerMasterKey and FormerMasterPassphrase are those before, while the master
	// key is changed.
	FormerMasterKey, FormerMasterPassphrase string
}

// The environment variables of Secrets.
const (
	EnvMasterKey              = "SAGEBRUSH_MASTER_KEY"
	EnvMasterPassphrase       = "SAGEBRUSH_MASTER_PASSPHRASE"
	EnvFormerMasterKey        = "SAGEBRUSH_FORMER_MASTER_KEY"
	EnvFormerMasterPassphrase = "SAGEBRUSH_FORMER_MASTER_PASSPHRASE"
)

func secrets(env func(string) (string, bool)) (s Secrets) {
	for name, to := range map[string]*string{
		EnvMasterKey: &s.MasterKey, EnvMasterPassphrase: &s.MasterPassphrase,
		EnvFormerMasterKey: &s.FormerMasterKey, EnvFormerMasterPassphrase: &s.FormerMasterPassphrase,
	} {
		*to, _ = env(name)
	}
	return s
}
