"""The form, and what it shares with the Model screen: data, model, what learns, how, and what that would cost."""
