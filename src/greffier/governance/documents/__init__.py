"""Documents for authorities, made from what runs; a person writes only where judgement is asked."""
