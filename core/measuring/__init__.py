"""What a step costs (`bench`) and which way of computing it is the fastest: tried (`trials`), judged (`rounding`), chosen (`tuning`)."""
