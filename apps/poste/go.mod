module creatic-poste

go 1.24

require software.sslmate.com/src/go-pkcs12 v0.0.0

require golang.org/x/crypto v0.11.0 // indirect

replace (
	golang.org/x/crypto => /usr/share/gocode/src/golang.org/x/crypto
	software.sslmate.com/src/go-pkcs12 => /usr/share/gocode/src/software.sslmate.com/src/go-pkcs12
)
