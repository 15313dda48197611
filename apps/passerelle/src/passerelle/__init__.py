"""The hand-overs: délibérations → parapheur → connector → ARActe → publication → GED → versement."""
