//go:build windows

package keys

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

var (
	crypt32            = syscall.NewLazyDLL("crypt32.dll")
	setContextProperty = crypt32.NewProc("CertSetCertificateContextProperty")
	getContextProperty = crypt32.NewProc("CertGetCertificateContextProperty")
	deleteFromStore    = crypt32.NewProc("CertDeleteCertificateFromStore")
	controlStore       = crypt32.NewProc("CertControlStore")
	duplicateContext   = crypt32.NewProc("CertDuplicateCertificateContext")
	errNotFound        = syscall.Errno(0x80092004) // CRYPT_E_NOT_FOUND
)

const (
	storeProviderSystem = 10 // CERT_STORE_PROV_SYSTEM_W
	currentUser         = 1 << 16
	localMachine        = 2 << 16
	readOnly            = 0x8000
	propKeyProvInfo     = 2
	propFriendlyName    = 11
	addNew              = 1 // CERT_STORE_ADD_NEW
	addReplace          = 3 // CERT_STORE_ADD_REPLACE_EXISTING
	controlCommit       = 3 // CERT_STORE_CTRL_COMMIT
	commitForce         = 1
	encoding            = syscall.X509_ASN_ENCODING | syscall.PKCS_7_ASN_ENCODING
	errExists           = syscall.Errno(0x80092005) // CRYPT_E_EXISTS
)

// keyProvInfo is CRYPT_KEY_PROV_INFO.
type keyProvInfo struct {
	container *uint16
	provider  *uint16
	kind      uint32
	flags     uint32
	params    uint32
	_         uint32
	paramList uintptr
	keySpec   uint32
	_         uint32
}

type blob struct {
	size uint32
	_    uint32
	data *byte
}

// Windows is the account's stores: « My », and « CA » for intermediate authorities.
type Windows struct{}

// Open finds a key by CNG, else by CryptoAPI.
func (Windows) Open(container string) (Key, error) {
	key, err := openCNG(container)
	if err == nil {
		return key, nil
	}
	legacy, other := openLegacy(container, false)
	if other == nil {
		return legacy, nil
	}
	return nil, other
}

// Make opens a key, or makes it: by CNG, else by CryptoAPI where CNG keeps no key.
func (w Windows) Make(container string) (Key, error) {
	if key, err := w.Open(container); !errors.Is(err, ErrAbsent) {
		return key, err
	}
	key, err := makeCNG(container)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	return openLegacy(container, true)
}

// Import keeps a key that another made; it cannot be taken out again.
func (Windows) Import(container string, key crypto.PrivateKey) (Key, error) {
	kept, err := importCNG(container, key)
	if err == nil || !errors.Is(err, ErrUnsupported) {
		return kept, err
	}
	return importLegacy(container, key)
}

// Delete removes a key, whichever family keeps it.
func (Windows) Delete(container string) error {
	if err := deleteCNG(container); err != nil {
		return err
	}
	return deleteLegacy(container)
}

// Attach puts a certificate into « My », with the place of its key.
func (w Windows) Attach(certificate *x509.Certificate, container, label string) error {
	key, err := w.Open(container)
	if err != nil {
		return err
	}
	defer key.Close()
	info := keyProvInfo{container: wide(container)}
	if key.Provider() == "CNG" {
		info.provider = wide(cngProvider)
	} else {
		info.provider, info.kind, info.keySpec = wide(legacyProvider), provRSAAES, atKeyExchange
	}
	return change(currentUser, "My", func(store syscall.Handle) error {
		context, err := newContext(certificate)
		if err != nil {
			return err
		}
		defer syscall.CertFreeCertificateContext(context)
		if err := setProperty(context, propKeyProvInfo, unsafe.Pointer(&info)); err != nil {
			return err
		}
		text := wideSlice(label)
		name := blob{size: uint32(2 * len(text)), data: (*byte)(unsafe.Pointer(&text[0]))}
		if err := setProperty(context, propFriendlyName, unsafe.Pointer(&name)); err != nil {
			return err
		}
		return syscall.CertAddCertificateContextToStore(store, context, addReplace, nil)
	})
}

// AddIntermediate puts an authority into the account's « CA ».
func (Windows) AddIntermediate(certificate *x509.Certificate) (bool, error) {
	return Add(currentUser, "CA", certificate)
}

// RemoveIntermediate takes one away.
func (Windows) RemoveIntermediate(certificate *x509.Certificate) error {
	return Take(currentUser, "CA", certificate)
}

// Installed reads « My ».
func (Windows) Installed() ([]Installed, error) {
	var all []Installed
	err := each(currentUser, "My", func(context *syscall.CertContext) error {
		certificate := parse(context)
		if certificate == nil {
			return nil // another program's, that this one does not understand
		}
		one := Installed{Certificate: certificate}
		if info := property(context, propKeyProvInfo); info != nil {
			told := (*keyProvInfo)(unsafe.Pointer(&info[0]))
			one.Container = text(told.container)
			one.Provider = "CNG"
			if told.kind != 0 {
				one.Provider = "CryptoAPI"
			}
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

// Remove takes a certificate out of « My ».
func (Windows) Remove(certificate *x509.Certificate) error {
	return Take(currentUser, "My", certificate)
}

// AddMachine puts an authority into a store of the machine; false: it was there.
func AddMachine(name string, certificate *x509.Certificate) (bool, error) {
	return Add(localMachine, name, certificate)
}

// TakeMachine takes one away.
func TakeMachine(name string, certificate *x509.Certificate) error {
	return Take(localMachine, name, certificate)
}

// InMachine tells whether a store of the machine has a certificate.
func InMachine(name string, certificate *x509.Certificate) (bool, error) {
	found := false
	err := each(localMachine, name, func(context *syscall.CertContext) error {
		found = found || bytes.Equal(der(context), certificate.Raw)
		return nil
	})
	return found, err
}

// Add puts a certificate into a store; false: it was there.
func Add(location uint32, name string, certificate *x509.Certificate) (bool, error) {
	added := false
	err := change(location, name, func(store syscall.Handle) error {
		context, err := newContext(certificate)
		if err != nil {
			return err
		}
		defer syscall.CertFreeCertificateContext(context)
		err = syscall.CertAddCertificateContextToStore(store, context, addNew, nil)
		if err == errExists {
			return nil
		}
		added = err == nil
		return err
	})
	return added, err
}

// Take takes a certificate out of a store.
func Take(location uint32, name string, certificate *x509.Certificate) error {
	return change(location, name, func(store syscall.Handle) error {
		return walk(store, func(context *syscall.CertContext) error {
			if !bytes.Equal(der(context), certificate.Raw) {
				return nil
			}
			// It frees what it is given, and the walk needs its own.
			copied, _, _ := duplicateContext.Call(uintptr(unsafe.Pointer(context)))
			if done, _, err := deleteFromStore.Call(copied); done == 0 {
				return err
			}
			return errStop
		})
	})
}

var errStop = errors.New("stop")

// change opens a store to write, and commits: Wine keeps a deletion only then.
func change(location uint32, name string, work func(syscall.Handle) error) error {
	store, err := syscall.CertOpenStore(storeProviderSystem, 0, 0, location, uintptr(unsafe.Pointer(wide(name))))
	if err != nil {
		return fmt.Errorf("magasin %s : %w", name, err)
	}
	worked := work(store)
	if done, _, err := controlStore.Call(uintptr(store), commitForce, controlCommit, 0); done == 0 && worked == nil {
		worked = fmt.Errorf("magasin %s : %w", name, err)
	}
	if err := syscall.CertCloseStore(store, 0); err != nil && worked == nil {
		worked = fmt.Errorf("magasin %s : %w", name, err)
	}
	return worked
}

func each(location uint32, name string, work func(*syscall.CertContext) error) error {
	store, err := syscall.CertOpenStore(storeProviderSystem, 0, 0, location|readOnly, uintptr(unsafe.Pointer(wide(name))))
	if err != nil {
		return fmt.Errorf("magasin %s : %w", name, err)
	}
	defer syscall.CertCloseStore(store, 0)
	return walk(store, work)
}

func walk(store syscall.Handle, work func(*syscall.CertContext) error) error {
	var context *syscall.CertContext
	for {
		next, err := syscall.CertEnumCertificatesInStore(store, context)
		if next == nil {
			if err == errNotFound || err == nil || err == syscall.Errno(18) { // ERROR_NO_MORE_FILES
				return nil
			}
			return err
		}
		context = next
		if err := work(context); err != nil {
			syscall.CertFreeCertificateContext(context)
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
}

func newContext(certificate *x509.Certificate) (*syscall.CertContext, error) {
	return syscall.CertCreateCertificateContext(encoding, &certificate.Raw[0], uint32(len(certificate.Raw)))
}

func der(context *syscall.CertContext) []byte {
	return unsafe.Slice(context.EncodedCert, context.Length)
}

func parse(context *syscall.CertContext) *x509.Certificate {
	found, err := x509.ParseCertificate(bytes.Clone(der(context)))
	if err != nil {
		return nil
	}
	return found
}

func setProperty(context *syscall.CertContext, number uint32, value unsafe.Pointer) error {
	done, _, err := setContextProperty.Call(uintptr(unsafe.Pointer(context)), uintptr(number), 0, uintptr(value))
	if done == 0 {
		return err
	}
	return nil
}

// property gives a property's bytes; nil: there is none. Pointers that are in it point into it.
func property(context *syscall.CertContext, number uint32) []byte {
	var size uint32
	done, _, _ := getContextProperty.Call(uintptr(unsafe.Pointer(context)), uintptr(number), 0, uintptr(unsafe.Pointer(&size)))
	if done == 0 || size == 0 {
		return nil
	}
	words := make([]uint64, (size+7)/8) // aligned as the structure needs
	value := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)[:size]
	done, _, _ = getContextProperty.Call(uintptr(unsafe.Pointer(context)), uintptr(number),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&size)))
	if done == 0 {
		return nil
	}
	return value
}

func wide(text string) *uint16 { return &wideSlice(text)[0] }

func wideSlice(text string) []uint16 {
	found, err := syscall.UTF16FromString(text)
	if err != nil {
		panic(err) // a NUL in a name: none of ours has one
	}
	return found
}

func text(start *uint16) string {
	if start == nil {
		return ""
	}
	end := 0
	for ; *(*uint16)(unsafe.Add(unsafe.Pointer(start), 2*end)) != 0; end++ {
	}
	return syscall.UTF16ToString(unsafe.Slice(start, end))
}
