"""What data protection asks of the organisation: the ledger of people's wishes, their requests, retention, holds."""
